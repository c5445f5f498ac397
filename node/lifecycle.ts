import { asError } from '../protocol/errors.js'
import { abortable, deadline } from './deadline.js'
import type { Logger } from './logger.js'

/** A part that takes longer to stop is left behind: the process is about to end. */
const STOP_MS = 10_000

export interface Component {
  /** Absent where there is nothing to do before the first use. */
  start?(): unknown
  stop(): unknown
}

/** Starts components one after another and stops them the other way round, whatever fails on the way. */
export class Lifecycle {
  /** Settles when every component has started, or one has failed. */
  readonly opened: Promise<void>
  readonly closed: Promise<void>
  readonly #logger: Logger
  readonly #open: () => void
  readonly #close: () => void
  #isOpen = false
  readonly #started: Component[] = []
  #stopping: Promise<void> | undefined

  constructor({ logger }: { logger: Logger }) {
    this.#logger = logger
    const opened = Promise.withResolvers<undefined>()
    this.opened = opened.promise
    this.#open = () => opened.resolve(undefined)
    const closed = Promise.withResolvers<undefined>()
    this.closed = closed.promise
    this.#close = () => closed.resolve(undefined)
  }

  /** Everything runs. */
  get isOpen(): boolean {
    return this.#isOpen
  }

  /** When one fails, or `stop()` comes first, those that were started are stopped again and the error is thrown. */
  async start(components: readonly Component[], { signal }: { signal?: AbortSignal } = {}): Promise<void> {
    try {
      for (const component of components) {
        this.#throwIfStopping()
        signal?.throwIfAborted()
        this.#started.push(component)
        const starting = Promise.resolve(component.start?.())
        await (signal === undefined ? starting : abortable(starting, signal))
      }
      this.#throwIfStopping()
      this.#isOpen = true
    } catch (error) {
      await this.stop()
      throw error
    } finally {
      this.#open()
    }
  }

  /** Idempotent; never throws. */
  async stop(): Promise<void> {
    this.#stopping ??= this.#stop()
    await this.#stopping
  }

  #throwIfStopping(): void {
    if (this.#stopping !== undefined) throw new Error('the node was stopped while it started')
  }

  async #stop(): Promise<void> {
    this.#isOpen = false
    for (const component of this.#started.reverse()) await this.#stopOne(component)
    this.#close()
  }

  async #stopOne(component: Component): Promise<void> {
    using limit = deadline(`stopping ${component.constructor.name}`, STOP_MS)
    try {
      await abortable(Promise.resolve(component.stop()), limit.signal)
    } catch (error) {
      this.#logger.warn({ reason: asError(error).message }, 'a part did not stop cleanly')
    }
  }
}
