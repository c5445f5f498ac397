import type { NodeRecord } from '../../protocol/node-record.js'
import { SwarmError } from './errors.js'
import { hasExpired, openRecord, type VerifiedRecord } from './record.js'

/**
 * Records that are kept: far above the swarms that one origin can route through. At the bound the longest unheard of
 * goes, among those that nothing keeps.
 */
const MAX_RECORDS = 4096
/** A change is news for so long. */
const NEWS_MILLISECONDS = 15_000
/** An Ed25519 signature is the last field of an envelope. */
const SIGNATURE_BYTES = 64

export interface BookEntry extends VerifiedRecord {
  /** Milliseconds since 1970 of the last record. */
  seen: number
  /** Milliseconds since 1970 of the last record that was news. */
  changed: number
}

interface RecordBookParts {
  now: () => number
  /** Something in the book is different; `news`: a node came, or can be reached or used in another way. */
  onChange: (news: boolean) => void
  /** Never forgotten for lack of room: this node itself and connected members, fewer than the bound. */
  isKept: (peer: string) => boolean
}

/**
 * Verified records by peer. It is also the guard against rollback: as long as an older record of a peer could still be
 * valid, the newer one is here and refuses it.
 */
export class RecordBook {
  readonly #parts: RecordBookParts
  readonly #swarm: string
  readonly #maxRecords: number
  /** The longest unheard of first. */
  readonly #entries = new Map<string, BookEntry>()
  /** Signatures of the records in the book: what comes again need not be verified again. */
  readonly #signatures = new Set<string>()

  constructor(parts: RecordBookParts, { swarm, maxRecords = MAX_RECORDS }: { swarm: string; maxRecords?: number }) {
    this.#parts = parts
    this.#swarm = swarm
    this.#maxRecords = maxRecords
  }

  get(peer: string): BookEntry | undefined {
    return this.#entries.get(peer)
  }

  entries(): BookEntry[] {
    return [...this.#entries.values()]
  }

  /** Envelopes of at most `count` peers other than `except`, the latest first. */
  envelopes(count: number, except: string): Uint8Array[] {
    const latest = this.entries().reverse()
    return latest
      .filter(entry => entry.peer !== except)
      .slice(0, count)
      .map(entry => entry.envelope)
  }

  /** Envelopes of at most `count` peers other than `except` that were news a moment ago. */
  news(count: number, except: string): Uint8Array[] {
    const since = this.#parts.now() - NEWS_MILLISECONDS
    return this.entries()
      .filter(({ peer, changed }) => peer !== except && changed > since)
      .slice(-count)
      .map(({ envelope }) => envelope)
  }

  /**
   * Verifies an envelope and keeps it if it is newer.
   * @param owner - whose it must be; undefined for anybody's
   * @throws SwarmError RECORD_FORGED, RECORD_INVALID, RECORD_EXPIRED, RECORD_STALE; ProtocolError
   */
  async learn(envelope: Uint8Array, owner?: string): Promise<void> {
    if (this.#has(envelope, owner)) return
    const verified = await openRecord(envelope, { swarm: this.#swarm, now: this.#parts.now() })
    const { peer, record } = verified
    if (owner !== undefined && peer !== owner) {
      throw new SwarmError('RECORD_FORGED', `a record for ${owner} is signed by ${peer}`, { details: { owner, peer } })
    }
    const present = this.#entries.get(peer)
    if (present !== undefined && record.sequence < present.record.sequence) {
      throw new SwarmError('RECORD_STALE', `a record of ${peer} is older than the one known`, {
        details: { peer, sequence: record.sequence, known: present.record.sequence }
      })
    }
    if (present?.record.sequence === record.sequence) return
    const now = this.#parts.now()
    const news = present === undefined || gist(present.record) !== gist(record)
    this.#keep({ ...verified, seen: now, changed: news ? now : present.changed })
    this.#parts.onChange(news)
  }

  /** Whether this very record is here, of this owner, and still counts. */
  #has(envelope: Uint8Array, owner: string | undefined): boolean {
    const signature = signatureOf(envelope)
    if (owner === undefined) return this.#signatures.has(signature)
    const present = this.#entries.get(owner)
    if (present === undefined || hasExpired(present.record, this.#parts.now())) return false
    return signatureOf(present.envelope) === signature
  }

  /** Forgets what has expired. */
  sweep(): void {
    const now = this.#parts.now()
    const expired = this.entries().filter(({ record }) => hasExpired(record, now))
    for (const entry of expired) this.#forget(entry)
    if (expired.length > 0) this.#parts.onChange(false)
  }

  #keep(entry: BookEntry): void {
    const present = this.#entries.get(entry.peer)
    if (present !== undefined) this.#forget(present)
    this.#entries.set(entry.peer, entry)
    this.#signatures.add(signatureOf(entry.envelope))
    if (this.#entries.size > this.#maxRecords) this.#forgetOldest()
  }

  #forgetOldest(): void {
    for (const entry of this.#entries.values()) {
      if (this.#parts.isKept(entry.peer)) continue
      this.#forget(entry)
      return
    }
  }

  #forget(entry: BookEntry): void {
    this.#entries.delete(entry.peer)
    this.#signatures.delete(signatureOf(entry.envelope))
  }
}

/** Of a record what others must hear soon; how busy a node is they ask themselves. */
function gist({ name, state, addresses, relay, models }: NodeRecord): string {
  const shards = models.map(model => [model.manifest, ...model.shards.map(({ start, end }) => `${start}-${end}`)])
  return JSON.stringify([name, state, addresses, relay, shards])
}

function signatureOf(envelope: Uint8Array): string {
  return Buffer.from(envelope.subarray(-SIGNATURE_BYTES)).toString('latin1')
}
