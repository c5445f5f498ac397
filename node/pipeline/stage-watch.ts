import { asError } from '../../protocol/errors.js'
import { abortable, deadline } from '../deadline.js'
import { ALIVE_MS, STEP_MS, SUSPECT_MS } from './constants.js'

export interface StageWatchParts {
  ping: (peer: string, options: { signal: AbortSignal }) => Promise<unknown>
  now: () => number
  onLost: (peer: string, error: Error) => void
}

/**
 * A closed connection tells of a loss at once; a frozen machine or a dead link tells nothing. So whenever an answer is
 * late, every stage of the route is asked whether it lives: a busy one says yes and is waited for, a dead one is lost
 * within `SUSPECT_MS + ALIVE_MS`.
 */
export class StageWatch {
  readonly #parts: StageWatchParts
  readonly #peers = new Set<string>()
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
    return setTimeout(() => void this.#look(), Math.max(1, Math.ceil(time - this.#parts.now())))
  }

  async #look(): Promise<void> {
    const since = this.#since
    const late = since !== undefined && this.#parts.now() - since >= SUSPECT_MS
    if (late) await Promise.all([...this.#peers].map(async peer => this.#ask(peer, since)))
    if (this.#since === undefined) this.#timer = undefined
    else this.#timer = this.#lookAt((late ? this.#parts.now() : this.#since) + SUSPECT_MS)
  }

  async #ask(peer: string, since: number): Promise<void> {
    using limit = deadline(`asking ${peer} whether it lives`, ALIVE_MS)
    try {
      await abortable(this.#parts.ping(peer, { signal: limit.signal }), limit.signal)
      if (this.#parts.now() - since < STEP_MS || this.#since === undefined) return
      this.#parts.onLost(peer, new Error(`no answer to a step within ${STEP_MS / 1_000} s`))
    } catch (error) {
      if (this.#since !== undefined) this.#parts.onLost(peer, asError(error))
    }
  }
}
