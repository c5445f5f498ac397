/** The most that is kept for a slow reader; the oldest are lost. */
const MAX_NOTICES = 64

/** What happens while something else is waited for, told in between. */
export class Notices<N> {
  readonly #waiting: N[] = []
  #wake: (() => void) | undefined

  push(notice: N): void {
    this.#waiting.push(notice)
    if (this.#waiting.length > MAX_NOTICES) this.#waiting.shift()
    this.#wake?.()
  }

  /** Yields what is pushed until the promise settles, and returns what it resolves with. */
  async *until<T>(promise: Promise<T>): AsyncGenerator<N, T> {
    const state = { settled: false }
    const settle = promise.then(
      () => (state.settled = true),
      () => (state.settled = true)
    )
    while (!state.settled || this.#waiting.length > 0) {
      // A promise of its own each time: on one for all times every race would leave something behind.
      const woken = new Promise<void>(resolve => (this.#wake = resolve))
      if (this.#waiting.length === 0) await Promise.race([settle, woken])
      yield* this.#waiting.splice(0)
    }
    return await promise
  }
}
