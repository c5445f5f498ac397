import { setMaxListeners } from 'node:events'
import { asError } from '../../protocol/errors.js'
import type { LogSink } from './libp2p-logger.js'

/** Parts of the period by which each turn comes earlier or later: nodes that started together drift apart. */
const JITTER = 0.3

/** Waits that may end with one signal: a few rounds of eight questions each. Node.js takes more than that for a leak, and warns. */
const MAX_WAITS = 64

/** Runs `work` now and then, never twice at a time. It ends with `stop()`, which also aborts the signal. */
export class Periodic {
  readonly #work: (signal: AbortSignal) => Promise<void>
  readonly #milliseconds: number
  readonly #logger: LogSink
  readonly #controller = new AbortController()
  #timer: NodeJS.Timeout | undefined
  #running: Promise<void> | undefined
  #again = false

  constructor(
    { work, logger }: { work: (signal: AbortSignal) => Promise<void>; logger: LogSink },
    { milliseconds }: { milliseconds: number }
  ) {
    this.#work = work
    setMaxListeners(MAX_WAITS, this.#controller.signal)
    this.#logger = logger
    this.#milliseconds = milliseconds
  }

  get signal(): AbortSignal {
    return this.#controller.signal
  }

  /** Now; once more afterwards if it is running already. */
  poke(): void {
    if (this.signal.aborted) return
    if (this.#running !== undefined) {
      this.#again = true
      return
    }
    clearTimeout(this.#timer)
    this.#running = this.#turn()
  }

  stop(): void {
    clearTimeout(this.#timer)
    this.#controller.abort(new Error('stopped'))
  }

  async #turn(): Promise<void> {
    try {
      await this.#work(this.signal)
    } catch (error) {
      if (!this.signal.aborted) this.#logger.debug({ err: asError(error) }, 'background work of the swarm failed')
    }
    this.#running = undefined
    if (this.signal.aborted) return
    const wait = this.#again ? 0 : this.#milliseconds * (1 - JITTER + 2 * JITTER * Math.random())
    this.#again = false
    this.#timer = setTimeout(() => this.poke(), wait)
    this.#timer.unref()
  }
}
