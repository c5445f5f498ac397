import { EngineError } from './errors.js'
import { wantsEmbedding } from './step-check.js'
import type { EngineStep, EngineStepResult } from './types.js'

export interface QueuedStep {
  step: EngineStep
  /** When it arrived, in ms of `performance.now()`. */
  arrived: number
  resolve: (result: EngineStepResult) => void
  reject: (error: unknown) => void
}

/** Steps that wait for one shard, oldest first. The parent bounds how many there can be. */
export class StepQueue {
  #waiting: QueuedStep[] = []

  get size(): number {
    return this.#waiting.length
  }

  push(queued: QueuedStep): void {
    this.#waiting.push(queued)
  }

  /**
   * Takes what can go with the oldest step into one decode: the same kind of input and output and the same `leave`, one
   * step a sequence (the earliest), at most `rows` rows in all.
   */
  take(rows: number): QueuedStep[] {
    const [first] = this.#waiting
    if (first === undefined) return []
    const taken: QueuedStep[] = []
    const left: QueuedStep[] = []
    const seen = new Set<number>()
    let room = rows
    for (const queued of this.#waiting) {
      const { step } = queued
      const fits =
        isCompatible(step, first.step) && !seen.has(step.sequence) && (step.rows <= room || taken.length === 0)
      seen.add(step.sequence)
      if (fits) room -= step.rows
      const list = fits ? taken : left
      list.push(queued)
    }
    this.#waiting = left
    return taken
  }

  /** Rejects the steps of `sequence`, or all of them. */
  cancel(sequence?: number): void {
    const isCancelled = ({ step }: QueuedStep): boolean => sequence === undefined || step.sequence === sequence
    const cancelled = this.#waiting.filter(isCancelled)
    this.#waiting = this.#waiting.filter(queued => !isCancelled(queued))
    for (const { step, reject } of cancelled) {
      reject(new EngineError('RELEASED', `sequence ${step.sequence} was released while a step of it waited`))
    }
  }
}

/** A decode for embeddings ends before the head, so that what others want of the head needs another one. */
function isCompatible(a: EngineStep, b: EngineStep): boolean {
  if (wantsEmbedding(a) !== wantsEmbedding(b)) return false
  return a.leave === b.leave && (a.tokens === undefined) === (b.tokens === undefined)
}
