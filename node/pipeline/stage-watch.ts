import { asError } from '../../protocol/errors.js'
import { abortable, deadline } from '../deadline.js'
import { ALIVE_MS, STEP_MS, SUSPECT_MS } from './constants.js'

export interface StageWatchParts {
  ping: (peer: string, options: { signal: AbortSignal }) => Promise<unknown>
  now: () => number
  onLost: (peer: string, error: Error) => void
  /** All stages live, and none has answered for longer than any step may take. */
  onLate: (error: Error) => void
}

/**
 * A closed connection tells of a loss at once; a frozen machine or a dead link tells nothing. So whenever an answer is
 * late, every stage of the route is asked whether it lives: a busy one says yes and is waited for, a dead one is lost
 * within `SUSPECT_MS + ALIVE_MS`.
 */
export class StageWatch {
  readonly #parts: StageWatchParts
  readonly #peers = new Set<string>()
  readonly #asking = new Set<string>()
  #since: number | undefined
  #timer: NodeJS.Timeout | undefined

  constructor(parts: StageWatchParts) {
    this.#parts = parts
  }

  /** One that is connected: a ping must not wait for a dial. */
  add(peer: string): void {
    this.#peers.add(peer)
  }

  /** An answer is awaited since then; undefined: none is. */
  waiting(since: number | undefined): void {
    this.#since = since
    if (since === undefined) return
    this.#timer ??= this.#lookAt(since + SUSPECT_MS)
  }

  stop(): void {
    this.#since = undefined
    clearTimeout(this.#timer)
    this.#timer = undefined
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
    if (now - since >= STEP_MS) {
      this.#parts.onLate(new Error(`no stage has answered the step within ${STEP_MS / 1_000} s`))
      return
    }
    const late = now - since >= SUSPECT_MS
    if (late) for (const peer of this.#peers) void this.#ask(peer)
    this.#timer = this.#lookAt((late ? now : since) + SUSPECT_MS)
  }

  /** Each by itself: one that is slow to answer does not put off the next question to the others. */
  async #ask(peer: string): Promise<void> {
    if (this.#asking.has(peer)) return
    this.#asking.add(peer)
    using limit = deadline(`asking ${peer} whether it lives`, ALIVE_MS)
    try {
      await abortable(this.#parts.ping(peer, { signal: limit.signal }), limit.signal)
    } catch (error) {
      if (this.#since !== undefined) this.#parts.onLost(peer, asError(error))
    } finally {
      this.#asking.delete(peer)
    }
  }
}
