import { EngineError } from './errors.js'

interface Held {
  /** Positions `[0, length)` are in the KV cache. */
  length: number
  /** Up to this layer of the model, exclusive, they were computed. */
  leave: number
}

const EMPTY: Held = { length: 0, leave: Infinity }

/** What each sequence of a shard's context holds. */
export class Sequences {
  readonly #capacity: number
  readonly #held = new Map<number, Held>()
  #total = 0

  /** @param capacity KV positions, for all sequences together. */
  constructor(capacity: number) {
    this.#capacity = capacity
  }

  lengthOf(sequence: number): number {
    return this.#of(sequence).length
  }

  /**
   * Whether a step fits what is held. `reserved`: rows that other steps of the same decode will add.
   * @throws EngineError `POSITION_GAP`, `LEAVE_DEEPER`, `CONTEXT_FULL`.
   */
  check(step: { sequence: number; position: number; rows: number; leave: number }, reserved = 0): void {
    const { sequence, position, rows, leave } = step
    const held = this.#of(sequence)
    if (position > held.length) {
      throw new EngineError(
        'POSITION_GAP',
        `sequence ${sequence} holds ${held.length} positions, the step starts at ${position}: replay what is missing`,
        { details: { sequence, position, held: held.length } }
      )
    }
    if (position > 0 && leave > held.leave) {
      throw new EngineError(
        'LEAVE_DEEPER',
        `sequence ${sequence} was computed up to layer ${held.leave} only, the step goes on to ${leave}: replay from position 0`,
        { details: { sequence, leave, held: held.leave } }
      )
    }
    const total = this.#total - (held.length - position) + rows + reserved
    if (total > this.#capacity) {
      throw new EngineError(
        'CONTEXT_FULL',
        `the step needs ${total} KV positions of ${this.#capacity}: release a sequence or use another shard`,
        { details: { needed: total, capacity: this.#capacity } }
      )
    }
  }

  truncate(sequence: number, length: number): void {
    const held = this.#of(sequence)
    this.#set(sequence, { ...held, length: Math.min(length, held.length) })
  }

  append(step: { sequence: number; position: number; rows: number; leave: number }): void {
    const kept = step.position === 0 ? Infinity : this.#of(step.sequence).leave
    this.#set(step.sequence, { length: step.position + step.rows, leave: Math.min(kept, step.leave) })
  }

  drop(sequence: number): void {
    this.#set(sequence, EMPTY)
  }

  #of(sequence: number): Held {
    return this.#held.get(sequence) ?? EMPTY
  }

  #set(sequence: number, held: Held): void {
    this.#total += held.length - this.lengthOf(sequence)
    if (held.length === 0) this.#held.delete(sequence)
    else this.#held.set(sequence, held)
  }
}
