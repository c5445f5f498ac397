import { mulberry32 } from '../support/random.js'

/** Seeded random numbers: the same seed gives the same simulation. */
export class Random {
  /** In [0, 1), 32 bits of it. */
  readonly next: () => number

  constructor(seed: number) {
    this.next = mulberry32(seed)
  }

  between(low: number, high: number): number {
    return low + (high - low) * this.next()
  }

  /** Whole numbers from `low` to `high`, both included. */
  integer(low: number, high: number): number {
    return low + Math.floor(this.next() * (high - low + 1))
  }

  /** Logarithmically even between the two: as many around 10 as around 100. */
  logarithmic(low: number, high: number): number {
    return low * (high / low) ** this.next()
  }

  /** Times between events that come `1 / mean` times a unit on average. */
  exponential(mean: number): number {
    return -mean * Math.log(1 - this.next())
  }

  shuffled<T>(items: readonly T[]): T[] {
    return items
      .map(item => ({ item, at: this.next() }))
      .sort((a, b) => a.at - b.at)
      .map(({ item }) => item)
  }
}
