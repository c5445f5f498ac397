import type { PrivateKey } from '@libp2p/interface'
import { asError } from '../../protocol/errors.js'
import type { NodeRecord } from '../../protocol/node-record.js'
import type { LogSink } from './libp2p-logger.js'
import { sealFitting } from './record.js'
import type { Announcement } from './types.js'

/** Life of a record: two publications may get lost. */
const LIFETIME_MILLISECONDS = 180_000
/** Publications come this often, give or take a sixth, so that a swarm's do not come together. */
const PERIOD_MILLISECONDS = 60_000
/** Announcements that come faster are published together. */
const THROTTLE_MILLISECONDS = 1_000
/** An envelope is signed again when it is older than this: status answers are fresh and still cheap. */
const FRESH_MILLISECONDS = 2_000

export interface PublisherParts {
  key: PrivateKey
  now: () => number
  logger: LogSink
  /** What the swarm knows of this node by itself. */
  facts: () => Pick<NodeRecord, 'addresses' | 'latencies'>
  /** Takes the envelope to everybody who should have it. */
  publish: (envelope: Uint8Array, announcement: Announcement) => Promise<void>
}

/** This node's own record: signs it, keeps it fresh, publishes it when it changes and every minute. */
export class Publisher {
  readonly #parts: PublisherParts
  readonly #settings: Pick<NodeRecord, 'swarm' | 'agent' | 'relay'>
  #announcement: Announcement = NOTHING
  #envelope: Promise<Uint8Array> | undefined
  #signedAt = 0
  #sequence = 0
  #publishedAt = Number.NEGATIVE_INFINITY
  #timer: NodeJS.Timeout | undefined
  #publishing = false
  #again = false
  #running = false
  /** What was warned of: once each. */
  readonly #warned = new Set<string>()

  constructor(parts: PublisherParts, settings: Pick<NodeRecord, 'swarm' | 'agent' | 'relay'>) {
    this.#parts = parts
    this.#settings = settings
  }

  start(): void {
    this.#running = true
    this.changed()
  }

  stop(): void {
    this.#running = false
    clearTimeout(this.#timer)
  }

  announce(announcement: Announcement): void {
    this.#announcement = announcement
    this.changed()
  }

  /** Something in the record is different: sign it again and publish it soon. */
  changed(): void {
    this.#envelope = undefined
    // What is being published does not have it; a timer set now would be replaced when that is done.
    if (this.#publishing) this.#again = true
    const wait = this.#publishedAt + THROTTLE_MILLISECONDS - this.#parts.now()
    this.#schedule(Math.max(0, Math.min(wait, THROTTLE_MILLISECONDS)))
  }

  /**
   * The signed record, at most two seconds old.
   * @throws ProtocolError when the announcement is outside the protocol's limits
   */
  envelope(): Promise<Uint8Array> {
    const now = this.#parts.now()
    if (this.#envelope === undefined || Math.abs(now - this.#signedAt) > FRESH_MILLISECONDS) {
      this.#signedAt = now
      this.#envelope = this.#sign(now)
    }
    return this.#envelope
  }

  async #sign(now: number): Promise<Uint8Array> {
    this.#sequence = Math.max(this.#sequence + 1, now)
    const record: NodeRecord = {
      ...this.#settings,
      ...this.#announcement,
      ...this.#parts.facts(),
      sequence: this.#sequence,
      expires: now + LIFETIME_MILLISECONDS
    }
    try {
      const { envelope, record: sealed } = await sealFitting(record, this.#parts.key)
      const missing = record.models.length - sealed.models.length
      if (missing > 0) this.#warn({ missing }, "this node's record is too large: others do not see its last models")
      return envelope
    } catch (error) {
      this.#warn({ err: asError(error) }, "this node's record cannot be signed: others do not see this node")
      throw error
    }
  }

  #warn(facts: object, message: string): void {
    if (this.#warned.has(message)) return
    this.#warned.add(message)
    this.#parts.logger.warn?.(facts, message)
  }

  #schedule(milliseconds: number): void {
    clearTimeout(this.#timer)
    if (!this.#running) return
    this.#timer = setTimeout(() => void this.#publish(), milliseconds)
    this.#timer.unref()
  }

  async #publish(): Promise<void> {
    if (this.#publishing) {
      this.#again = true
      return
    }
    this.#publishing = true
    this.#publishedAt = this.#parts.now()
    try {
      await this.#parts.publish(await this.envelope(), this.#announcement)
    } catch (error) {
      this.#parts.logger.debug({ err: asError(error) }, 'publishing the node record failed')
    } finally {
      this.#publishing = false
    }
    this.#schedule(this.#again ? THROTTLE_MILLISECONDS : PERIOD_MILLISECONDS * (5 / 6 + Math.random() / 3))
    this.#again = false
  }
}

const NOTHING: Announcement = {
  name: '',
  state: 'joining',
  hardware: { backend: '', device: '', threads: 0, memoryBytes: 0 },
  models: []
}
