import { MOVE_RETRY_MS, PACE_NEWEST, PACE_STEPS } from './constants.js'
import type { Seat } from './seat.js'

/** Which stages of a route are to be replaced while they go on, because they ask for it or are slow, and when to try. */
export class Departures {
  readonly #onDue: () => void
  readonly #leaving = new Map<Seat, 'asked' | 'slow'>()
  /** Peers that have asked, also those that were left since. */
  readonly #asked = new Set<string>()
  /** Tokens since stages were last compared with others, and how many of them there must be. */
  #paced = 0
  #patience = PACE_STEPS
  #retry: NodeJS.Timeout | undefined

  /** @param onDue called when it is time to try again. */
  constructor(onDue: () => void) {
    this.#onDue = onDue
  }

  /** Peers that are to be left, or were because they asked for it. */
  get peers(): string[] {
    return [...this.#asked, ...[...this.#leaving.keys()].map(({ stage }) => stage.peer)]
  }

  /** Somebody is to be replaced, now or later. */
  get isDue(): boolean {
    return this.#leaving.size > 0 || this.#retry !== undefined
  }

  /** It leaves by itself before long. */
  asked(seat: Seat): void {
    this.#asked.add(seat.stage.peer)
    this.#leaving.set(seat, 'asked')
  }

  isAsked(seat: Seat): boolean {
    return this.#leaving.get(seat) === 'asked'
  }

  /** Whose turn it is, of the stages of the route; none while somebody is still being filled. */
  next(seats: readonly Seat[]): Seat | undefined {
    const gone = [...this.#leaving.keys()].filter(seat => !seats.includes(seat) || seat.lost !== undefined)
    for (const seat of gone) this.#leaving.delete(seat)
    const [seat] = this.#leaving.keys()
    if (seat === undefined || this.#retry !== undefined) return undefined
    if (seats.every(({ filled }) => filled)) return seat
    this.later(seat)
    return undefined
  }

  /** It could not be replaced now. Who is only slow goes on, and is looked at again when it still is. */
  later(seat: Seat): void {
    if (!this.isAsked(seat)) this.#leaving.delete(seat)
    this.#retry ??= setTimeout(() => {
      this.#retry = undefined
      this.#onDue()
    }, MOVE_RETRY_MS)
  }

  /**
   * A token has come through all of them: how long it took at each, ms. True when the slowest one is to be replaced, which
   * `isSlow` says when it is asked, now and then.
   */
  paced(seats: readonly Seat[], milliseconds: readonly number[], isSlow: (seat: Seat) => boolean): boolean {
    if (milliseconds.length !== seats.length) return false // it began on another route
    for (const [i, seat] of seats.entries()) {
      const newest = milliseconds[i] ?? 0
      seat.pace = seat.pace === 0 ? newest : seat.pace + PACE_NEWEST * (newest - seat.pace)
    }
    if (++this.#paced < this.#patience) return false
    this.#paced = 0
    const slowest = seats.reduce((slow, seat) => (seat.pace > slow.pace ? seat : slow))
    if (this.#leaving.size > 0 || !isSlow(slowest)) return false
    this.#patience *= 2 // where all are slow, moving on and on would help nobody
    this.#leaving.set(slowest, 'slow')
    return true
  }

  stop(): void {
    clearTimeout(this.#retry)
  }
}
