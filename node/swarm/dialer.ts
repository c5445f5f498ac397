import { KEEP_ALIVE, type Connection, type PeerId, type Stream } from '@libp2p/interface'
import { peerIdFromString } from '@libp2p/peer-id'
import { asError } from '../../protocol/errors.js'
import { deadline, DeadlineError } from '../deadline.js'
import { parseAddresses, withoutLoopback, withPeer } from './addresses.js'
import { SwarmError } from './errors.js'
import type { Gate } from './gate.js'
import type { SwarmLibp2p } from './libp2p.js'
import type { Links } from './links.js'
import type { RecordBook } from './record-book.js'

/** All addresses of a peer, one after the other. */
const DIAL_MILLISECONDS = 20_000
/** From the connection to the accepted hello. */
const HELLO_MILLISECONDS = 10_000
/** One round trip over a connection that may be dead without anybody knowing. */
const OPEN_MILLISECONDS = 5_000
/** A peer with which streams were opened is kept connected, and dialled again when it is lost, for this long. */
const KEEP_MILLISECONDS = 600_000
const KEEP_TAG = `${KEEP_ALIVE}-flambeau`
const KEEP_VALUE = 50

export interface ConnectOptions {
  /** Hints, for a peer whose own record with addresses is not known. */
  addresses?: string[]
  signal?: AbortSignal
}

interface DialerParts {
  /** @throws SwarmError NOT_STARTED */
  network: () => { libp2p: SwarmLibp2p }
  gate: Gate
  links: Links
  book: RecordBook
  now: () => number
}

/** Connections and streams to members; every phase has its own deadline and error. */
export class Dialer {
  readonly #parts: DialerParts
  readonly #kept = new Map<string, number>()

  constructor(parts: DialerParts) {
    this.#parts = parts
  }

  /**
   * The connection to a member, dialled if there is none yet.
   * @throws SwarmError PEER_UNREACHABLE, WRONG_SWARM, UNAUTHORIZED, UNSUPPORTED, NOT_STARTED; the signal's reason
   */
  async connect(peer: string, { addresses = [], signal }: ConnectOptions = {}): Promise<Connection> {
    const id = parsePeer(peer)
    if (this.#parts.links.best(peer) === undefined) await this.#dial(id, addresses, signal)
    using limit = deadline(`the hello of ${peer}`, HELLO_MILLISECONDS, signal)
    await this.#parts.gate.member(peer, limit.signal).catch((caught: unknown) => {
      throw caught instanceof DeadlineError ? unreachable(peer, caught) : asError(caught)
    })
    const connection = this.#parts.links.best(peer)
    if (connection === undefined) throw unreachable(peer, undefined)
    return connection
  }

  /**
   * A stream to a member.
   * @throws SwarmError as `connect`; OPEN_FAILED
   */
  async openStream(peer: string, protocol: string, options: ConnectOptions = {}): Promise<Stream> {
    const connection = await this.connect(peer, options)
    using limit = deadline(`opening ${protocol} to ${peer}`, OPEN_MILLISECONDS, options.signal)
    try {
      const stream = await connection.newStream(protocol, { signal: limit.signal })
      this.#keep(connection.remotePeer)
      return stream
    } catch (cause) {
      options.signal?.throwIfAborted()
      const unsupported = asError(cause).name === 'UnsupportedProtocolError'
      throw new SwarmError(
        unsupported ? 'UNSUPPORTED' : 'OPEN_FAILED',
        unsupported ? `${peer} does not serve ${protocol}` : `no stream for ${protocol} could be opened to ${peer}`,
        { details: { peer, protocol }, cause }
      )
    }
  }

  /**
   * Seconds of one round trip.
   * @throws SwarmError as `connect`; OPEN_FAILED
   */
  async ping(peer: string, options: ConnectOptions = {}): Promise<number> {
    const { remotePeer } = await this.connect(peer, options)
    using limit = deadline(`the ping of ${peer}`, OPEN_MILLISECONDS, options.signal)
    try {
      return (await this.#parts.network().libp2p.services.ping.ping(remotePeer, { signal: limit.signal })) / 1000
    } catch (cause) {
      options.signal?.throwIfAborted()
      throw new SwarmError('OPEN_FAILED', `${peer} does not answer the ping`, { details: { peer }, cause })
    }
  }

  async #dial(id: PeerId, hints: string[], parent: AbortSignal | undefined): Promise<void> {
    const { libp2p } = this.#parts.network()
    const peer = id.toString()
    const refusal = this.#parts.gate.refusal(peer)
    if (refusal !== undefined) throw refusal
    using limit = deadline(`dialling ${peer}`, DIAL_MILLISECONDS, parent)
    try {
      const known = this.#addresses(peer, hints)
      await libp2p.dial(known.length > 0 ? known : id, { signal: limit.signal })
    } catch (cause) {
      parent?.throwIfAborted()
      throw this.#parts.gate.refusal(peer) ?? unreachable(peer, cause)
    }
  }

  /** What the peer has signed, if it is known: others' hints would only let them choose where this node dials. */
  #addresses(peer: string, hints: string[]): ReturnType<typeof parseAddresses> {
    const recorded = withoutLoopback(this.#parts.book.get(peer)?.record.addresses ?? [])
    const known = recorded.length > 0 ? recorded : hints
    return parseAddresses([...new Set(known.map(address => withPeer(address, peer)))])
  }

  #keep(id: PeerId): void {
    const peer = id.toString()
    const now = this.#parts.now()
    if ((this.#kept.get(peer) ?? 0) > now) return
    this.#kept.set(peer, now + KEEP_MILLISECONDS / 2)
    for (const [old, until] of this.#kept) if (until < now) this.#kept.delete(old)
    const tags = { [KEEP_TAG]: { value: KEEP_VALUE, ttl: KEEP_MILLISECONDS } }
    // Only a preference: the stream is open.
    this.#parts
      .network()
      .libp2p.peerStore.merge(id, { tags })
      .catch(() => undefined)
  }
}

function parsePeer(peer: string): PeerId {
  try {
    return peerIdFromString(peer)
  } catch (cause) {
    throw new SwarmError('ADDRESS_INVALID', `${JSON.stringify(peer)} is not a peer id`, { details: { peer }, cause })
  }
}

function unreachable(peer: string, cause: unknown): SwarmError {
  return new SwarmError(
    'PEER_UNREACHABLE',
    `${peer} cannot be reached: it is offline, or none of its addresses works from here`,
    {
      details: { peer },
      cause
    }
  )
}
