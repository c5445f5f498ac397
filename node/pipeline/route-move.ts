import { abortable, deadline } from '../deadline.js'
import { FILL_MS } from './constants.js'
import type { Seat } from './seat.js'

/** What this node sends to a stage that is to become the first one. */
export interface AsideFeed {
  caughtUp: Promise<unknown>
  /** Tokens of new steps go there from now on, and no longer to the old first stage. */
  promote(): void
  stop(): void
}

export interface RouteMoveParts {
  /** The stage before the one that leaves; undefined: this node. */
  before: Seat | undefined
  /** Replays take the steps as they were. */
  exact: boolean
  signal: AbortSignal
  /** Milliseconds, monotonic. */
  now: () => number
  nextSequence: () => number
  feedAside: (first: Seat, options: { exact: boolean }) => AsideFeed
  boundary: () => { reached: Promise<unknown> } & Disposable
}

/** Something was lost while a stage was being replaced in peace. */
export class Disturbed extends Error {
  override name = 'Disturbed'
}

/** Stages take the place of one that goes on until they have seen all that it has: one attempt. */
export class RouteMove {
  /** When steps began to be held back, ms. */
  began: number | undefined
  readonly #parts: RouteMoveParts
  readonly #disturbed = Promise.withResolvers<never>()
  #first: Seat | undefined
  #aside: AsideFeed | undefined

  constructor(parts: RouteMoveParts) {
    this.#parts = parts
    this.#disturbed.promise.catch(() => undefined) // it may come when nothing waits for it
  }

  /** Whatever is under way rejects. */
  disturb(): void {
    this.#disturbed.reject(new Disturbed('stages were lost'))
  }

  async undisturbed<T>(promise: Promise<T>): Promise<T> {
    promise.catch(() => undefined)
    return await Promise.race([promise, this.#disturbed.promise])
  }

  /** Sends the first of them what was sent before, and then all that comes. */
  async fill([first]: readonly Seat[]): Promise<void> {
    const { before, exact, signal, nextSequence, feedAside } = this.#parts
    if (first === undefined) throw new RangeError('a move to no stages')
    this.#first = first
    using limit = deadline(`filling the stage ${first.stage.peer}`, FILL_MS, signal)
    if (before === undefined) {
      this.#aside = feedAside(first, { exact })
      await this.#orStop(abortable(this.#aside.caughtUp, limit.signal))
      return
    }
    const replay = { rowsPerStep: first.rowsPerStep, exact }
    await this.undisturbed(before.linkTo(first, { liveFrom: nextSequence(), replay, aside: true }, signal))
    await this.undisturbed(abortable(before.caughtUp(), limit.signal))
  }

  /** At a boundary between steps they take over, and `seat` makes them part of the route. */
  async take(seat: () => void): Promise<void> {
    const { before, signal, nextSequence, boundary, now } = this.#parts
    this.began = now()
    using held = boundary()
    await this.#orStop(held.reached)
    const next = this.#first
    if (before !== undefined && next !== undefined) {
      const link = { liveFrom: nextSequence(), replay: undefined, aside: false }
      await this.undisturbed(before.linkTo(next, link, signal))
    }
    this.#aside?.promote()
    seat()
  }

  async #orStop(promise: Promise<unknown>): Promise<void> {
    try {
      await this.undisturbed(promise)
    } catch (error) {
      this.#aside?.stop()
      throw error
    }
  }
}
