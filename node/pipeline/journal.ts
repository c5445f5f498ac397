import type { Step } from '../../protocol/step.js'
import { MAX_JOURNAL_BYTES, MAX_STEPS_IN_FLIGHT } from './constants.js'

/**
 * The steps that a stage (or the origin) has sent on, in order, so that they can be sent again to whoever takes the place
 * of a next stage that is lost: the client caches of Petals (arXiv:2312.08361), kept by the neighbours instead. Steps are
 * numbered from 0 as they come. A step that went back to an earlier position does not remove those that it overwrote:
 * whoever runs all of them again ends where the lost stage was.
 */
export class Journal {
  readonly #onGrowth: (bytes: number) => void
  #steps: Step[] = []
  #first = 0
  #bytes = 0
  #length = 0
  #gone = false

  /** @param onGrowth told of bytes that came, or went (negative). */
  constructor(onGrowth: (bytes: number) => void = () => undefined) {
    this.#onGrowth = onGrowth
  }

  /** Number of the oldest step that is still here. */
  get first(): number {
    return this.#first
  }

  /** Number that the next step will get. */
  get end(): number {
    return this.#first + this.#steps.length
  }

  /** Of hidden states and tokens. */
  get bytes(): number {
    return this.#bytes
  }

  /** Positions up to here were sent. */
  get length(): number {
    return this.#length
  }

  /** It no longer reaches back to the session's beginning: only steps that may still be under way are here. */
  get gone(): boolean {
    return this.#gone
  }

  at(number: number): Step | undefined {
    return this.#steps[number - this.#first]
  }

  append(step: Step): void {
    this.#steps.push(step)
    this.#length = step.position + step.rows
    this.#grow(bytesOf(step))
    if (this.#gone) this.#forget(this.#steps.length - MAX_STEPS_IN_FLIGHT)
  }

  /** Gives its memory back, but for the steps that may still be under way. */
  drop(): void {
    this.#gone = true
    this.#forget(this.#steps.length - MAX_STEPS_IN_FLIGHT)
  }

  /** Gives all of its memory back. */
  close(): void {
    this.#gone = true
    this.#forget(this.#steps.length)
  }

  #forget(count: number): void {
    if (count <= 0) return
    const removed = this.#steps.splice(0, count)
    this.#first += removed.length
    this.#grow(-sum(removed))
  }

  #grow(bytes: number): void {
    this.#bytes += bytes
    this.#onGrowth(bytes)
  }
}

/** The journals of a node, bounded together: when they are too large, the largest one is dropped. */
export class JournalShelf {
  readonly #most: number
  readonly #journals = new Set<Journal>()
  #bytes = 0

  constructor(most = MAX_JOURNAL_BYTES) {
    this.#most = most
  }

  get bytes(): number {
    return this.#bytes
  }

  open(): Journal {
    const journal: Journal = new Journal(bytes => this.#grow(bytes))
    this.#journals.add(journal)
    return journal
  }

  close(journal: Journal): void {
    journal.close()
    this.#journals.delete(journal)
  }

  #grow(bytes: number): void {
    this.#bytes += bytes
    if (bytes <= 0) return
    while (this.#bytes > this.#most) {
      const largest = [...this.#journals].filter(({ gone }) => !gone).sort((a, b) => b.bytes - a.bytes)[0]
      if (largest === undefined) return // steps under way alone: bounded by the sessions
      largest.drop()
    }
  }
}

export function bytesOf({ input }: Step): number {
  return input.kind === 'tokens' ? input.tokens.byteLength : input.bytes.byteLength
}

function sum(steps: readonly Step[]): number {
  return steps.reduce((bytes, step) => bytes + bytesOf(step), 0)
}
