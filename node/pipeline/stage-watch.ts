import { asError } from '../../protocol/errors.js'
import { abortable, deadline } from '../deadline.js'
import { ALIVE_MS, SILENT_STEPS, STALLED_MS, STALLED_STEPS, STEP_MS, SUSPECT_MS } from './constants.js'

export interface StageWatchParts {
  ping: (peer: string, options: { signal: AbortSignal }) => Promise<unknown>
  now: () => number
  onLost: (peer: string, error: Error) => void
  /** All stages live, and nothing comes for much longer than steps take. Told once for each such silence. */
  onStalled: () => void
  /** All stages live, and none has answered for longer than any step may take. */
  onLate: (error: Error) => void
}

/** Weight of the newest step in what steps are expected to take. */
const NEWEST = 0.2

/**
 * A closed connection tells of a loss at once; a frozen machine or a dead link tells nothing. So whenever an answer is
 * late, every stage of the route is asked whether it lives: a busy one says yes and is waited for, a dead one is lost
 * within `SUSPECT_MS + ALIVE_MS`, or three expected steps where that is more.
 */
export class StageWatch {
  readonly #parts: StageWatchParts
  readonly #peers = new Set<string>()
  readonly #asking = new Set<string>()
  #expected = 0
  #since: number | undefined
  #stalled = false
  #timer: NodeJS.Timeout | undefined

  constructor(parts: StageWatchParts) {
    this.#parts = parts
  }

  /** One that is connected: a ping must not wait for a dial. */
  add(peer: string): void {
    this.#peers.add(peer)
  }

  remove(peer: string): void {
    this.#peers.delete(peer)
  }

  /** An answer is awaited since then; undefined: none is. */
  waiting(since: number | undefined): void {
    this.#since = since
    this.#stalled = false
    if (since === undefined) return
    this.#timer ??= this.#lookAt(since + this.#patience(SUSPECT_MS))
  }

  /** A step took so many milliseconds. */
  answered(elapsed: number): void {
    this.#expected = this.#expected === 0 ? elapsed : this.#expected + NEWEST * (elapsed - this.#expected)
  }

  stop(): void {
    this.#since = undefined
    clearTimeout(this.#timer)
    this.#timer = undefined
  }

  /** Asks whether it lives; that it does not answer is told to `onLost` before this resolves. */
  async ask(peer: string): Promise<void> {
    const error = await this.#ask(peer)
    if (error !== undefined) this.#parts.onLost(peer, error)
  }

  /** Whether it answers that it does; told to nobody else. */
  async lives(peer: string): Promise<boolean> {
    return (await this.#ask(peer)) === undefined
  }

  /** Half of the silence that counts as a loss. */
  #patience(least: number): number {
    return Math.max(least, (SILENT_STEPS / 2) * this.#expected)
  }

  /** Answers that come in time only move `#since`: a timer for each token would cost more than this one. */
  #lookAt(time: number): NodeJS.Timeout {
    return setTimeout(() => this.#look(), Math.max(1, Math.ceil(time - this.#parts.now())))
  }

  #look(): void {
    const since = this.#since
    this.#timer = undefined
    if (since === undefined) return
    const now = this.#parts.now()
    const silence = now - since
    if (silence >= STEP_MS) {
      this.#parts.onLate(new Error(`no stage has answered the step within ${STEP_MS / 1_000} s`))
      return
    }
    const suspect = this.#patience(SUSPECT_MS)
    const late = silence >= suspect
    // Each by itself: one that is slow to answer does not put off the next question to the others.
    if (late) for (const peer of this.#peers) if (!this.#asking.has(peer)) void this.#suspect(peer)
    this.#timer = this.#lookAt((late ? now : since) + suspect)
    if (this.#stalled || silence < Math.max(STALLED_MS, STALLED_STEPS * this.#expected)) return
    this.#stalled = true
    this.#parts.onStalled()
  }

  async #suspect(peer: string): Promise<void> {
    this.#asking.add(peer)
    const error = await this.#ask(peer)
    this.#asking.delete(peer)
    // Whatever it was: an answer has come meanwhile.
    if (error !== undefined && this.#since !== undefined) this.#parts.onLost(peer, error)
  }

  async #ask(peer: string): Promise<Error | undefined> {
    using limit = deadline(`asking ${peer} whether it lives`, this.#patience(ALIVE_MS))
    try {
      await abortable(this.#parts.ping(peer, { signal: limit.signal }), limit.signal)
      return undefined
    } catch (error) {
      return asError(error)
    }
  }
}
