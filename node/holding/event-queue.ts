import { asError } from '../../protocol/errors.js'

/** Events pushed by callbacks, read as an async iterable by one reader. A slow reader loses all but the newest `LIMIT`. */
const LIMIT = 1_024

export class EventQueue<T> implements AsyncIterable<T> {
  readonly #events: T[] = []
  #finish: { error: Error | undefined } | undefined
  #wake = Promise.withResolvers<undefined>()

  push(event: T): void {
    this.#events.push(event)
    if (this.#events.length > LIMIT) this.#events.shift()
    this.#wake.resolve(undefined)
  }

  end(): void {
    this.#finish ??= { error: undefined }
    this.#wake.resolve(undefined)
  }

  /** The reader gets what was pushed, then this error. */
  fail(error: unknown): void {
    this.#finish ??= { error: asError(error) }
    this.#wake.resolve(undefined)
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T> {
    for (;;) {
      const event = this.#events.shift()
      if (event !== undefined) yield event
      else if (this.#finish === undefined) await this.#woken()
      else if (this.#finish.error === undefined) return
      else throw this.#finish.error
    }
  }

  async #woken(): Promise<void> {
    await this.#wake.promise
    this.#wake = Promise.withResolvers<undefined>()
  }
}
