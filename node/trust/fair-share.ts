import { WANTED_MS } from './constants.js'

/** A peer, or undefined for this node's owner, who is never held back. */
type Holder = string | undefined

/**
 * Who may have how much of one shard: one peer all of it while nobody else wants any, but once somebody without a
 * session was turned away for want of room, those who have one leave room for one other until that one got in, or for
 * `WANTED_MS`. So a swarm of one user has everything, and no peer can keep others out for good.
 */
export class FairShare {
  readonly #now: () => number
  readonly #sessions = new Map<Holder, number>()
  #wanting: { holder: Holder; until: number } | undefined

  /** @param now - milliseconds, monotonic */
  constructor({ now }: { now: () => number }) {
    this.#now = now
  }

  /** Has this holder to leave room for one other session? */
  mustLeaveRoom(holder: Holder): boolean {
    if (holder === undefined || !this.#sessions.has(holder) || this.#wanting === undefined) return false
    return this.#wanting.holder !== holder && this.#wanting.until > this.#now()
  }

  /** There was no room for it. Who has some already is not in need. */
  turnedAway(holder: Holder): void {
    if (!this.#sessions.has(holder)) this.#wanting = { holder, until: this.#now() + WANTED_MS }
  }

  entered(holder: Holder): void {
    this.#sessions.set(holder, (this.#sessions.get(holder) ?? 0) + 1)
    if (this.#wanting?.holder === holder) this.#wanting = undefined
  }

  left(holder: Holder): void {
    const sessions = (this.#sessions.get(holder) ?? 1) - 1
    if (sessions > 0) this.#sessions.set(holder, sessions)
    else this.#sessions.delete(holder)
  }
}
