import { MAX_REMEMBERED_PEERS, type ServiceLimits } from './constants.js'

/**
 * GCRA, the generic cell rate algorithm (ITU-T I.371): each request moves a peer's theoretical arrival time on by
 * `1000 / perSecond` ms, and one that comes more than a burst ahead of it is refused. One number a peer, no timers.
 */
export class RateLimit {
  readonly #now: () => number
  readonly #interval: number
  readonly #tolerance: number
  readonly #most: number
  /** When each peer's next request is due, milliseconds; who asked last comes last. */
  readonly #due = new Map<string, number>()

  /** @param now - milliseconds, monotonic */
  constructor(
    { now }: { now: () => number },
    { perSecond, burst }: Pick<ServiceLimits, 'perSecond' | 'burst'>,
    { peers = MAX_REMEMBERED_PEERS }: { peers?: number } = {}
  ) {
    this.#now = now
    this.#interval = 1_000 / perSecond
    this.#tolerance = (burst - 1) * this.#interval
    this.#most = peers
  }

  /** False for one request too many; it costs the peer nothing. */
  take(peer: string): boolean {
    const now = this.#now()
    const due = Math.max(this.#due.get(peer) ?? now, now)
    // Rounding must not cost an honest peer its last request.
    if (due - now > this.#tolerance + this.#interval / 1_000) return false
    this.#due.delete(peer)
    this.#due.set(peer, due + this.#interval)
    const [longest] = this.#due.keys()
    if (this.#due.size > this.#most && longest !== undefined) this.#due.delete(longest)
    return true
  }

  /** Milliseconds until the peer's next request is taken; 0: now. */
  wait(peer: string): number {
    const now = this.#now()
    return Math.max(0, (this.#due.get(peer) ?? now) - now - this.#tolerance)
  }

  /** Peers that are remembered. */
  get size(): number {
    return this.#due.size
  }
}
