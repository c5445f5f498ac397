interface Event {
  at: number
  order: number
  run: () => void
}

/** Virtual time in seconds: runs what is due, one after the other; of the same moment, what was asked for first. */
export class Clock {
  now = 0
  /** A binary heap, the next event first. */
  readonly #events: Event[] = []
  #order = 0

  after(seconds: number, run: () => void): void {
    this.#push({ at: this.now + seconds, order: this.#order++, run })
  }

  runUntil(end: number): void {
    for (let event = this.#events[0]; event !== undefined && event.at <= end; event = this.#events[0]) {
      this.#pop()
      this.now = event.at
      event.run()
    }
    this.now = end
  }

  #push(event: Event): void {
    let index = this.#events.push(event) - 1
    while (index > 0) {
      const above = (index - 1) >> 1
      if (!this.#isFirst(index, above)) return
      this.#swap(index, above)
      index = above
    }
  }

  #pop(): void {
    const last = this.#events.pop()
    if (last === undefined || this.#events.length === 0) return
    this.#events[0] = last
    for (let index = 0; ;) {
      const [left, right] = [2 * index + 1, 2 * index + 2]
      let first = index
      if (left < this.#events.length && this.#isFirst(left, first)) first = left
      if (right < this.#events.length && this.#isFirst(right, first)) first = right
      if (first === index) return
      this.#swap(index, first)
      index = first
    }
  }

  #isFirst(index: number, than: number): boolean {
    const [a, b] = [this.#events[index], this.#events[than]]
    return a !== undefined && b !== undefined && (a.at - b.at || a.order - b.order) < 0
  }

  #swap(i: number, j: number): void {
    const [a, b] = [this.#events[i], this.#events[j]]
    if (a === undefined || b === undefined) return
    this.#events[i] = b
    this.#events[j] = a
  }
}
