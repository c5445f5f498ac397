import { asError } from '../../protocol/errors.js'
import { EngineError } from './errors.js'
import type { Shard, StepOutput } from './shard.js'
import { type QueuedStep, StepQueue } from './step-queue.js'
import type { DecodeSize, EngineStep, EngineStepResult } from './types.js'

interface Entry {
  shard: Shard
  queue: StepQueue
}

/**
 * The loop of the engine's process. A turn is one decode of one shard: what waits and fits goes in together, the shards
 * take turns. Between two turns the process reads its messages, so that steps which arrive during a decode meet in the
 * next one.
 */
export class EngineLoop {
  readonly #entries = new Map<number, Entry>()
  #scheduled = false
  #lastServed = 0

  add(shard: Shard): void {
    this.#entries.set(shard.shape.id, { shard, queue: new StepQueue() })
  }

  step(step: EngineStep): Promise<EngineStepResult> {
    const { queue } = this.#entry(step.shard)
    const { promise, resolve, reject } = Promise.withResolvers<EngineStepResult>()
    queue.push({ step, arrived: performance.now(), resolve, reject })
    this.#schedule()
    return promise
  }

  release(shardId: number, sequence: number): void {
    const { shard, queue } = this.#entry(shardId)
    queue.cancel(sequence)
    if (Number.isInteger(sequence) && sequence >= 0 && sequence < shard.shape.sequences) shard.release(sequence)
  }

  unload(shardId: number): void {
    const { shard, queue } = this.#entry(shardId)
    queue.cancel()
    this.#entries.delete(shardId)
    shard.free()
  }

  #entry(id: number): Entry {
    const entry = this.#entries.get(id)
    if (entry === undefined) {
      throw new EngineError('UNKNOWN_SHARD', `shard ${id} is not loaded in this engine: load it again`, {
        details: { id }
      })
    }
    return entry
  }

  #schedule(): void {
    if (this.#scheduled) return
    this.#scheduled = true
    setImmediate(() => this.#turn())
  }

  #turn(): void {
    this.#scheduled = false
    const entry = this.#next()
    if (entry === undefined) return
    const { shard, queue } = entry
    this.#lastServed = shard.shape.id
    decodeTogether(shard, queue.take(shard.shape.batch))
    if (this.#next() !== undefined) this.#schedule()
  }

  /** The shard with waiting steps that comes after the one served last. */
  #next(): Entry | undefined {
    const waiting = [...this.#entries.values()].filter(({ queue }) => queue.size > 0)
    return waiting.find(({ shard }) => shard.shape.id > this.#lastServed) ?? waiting[0]
  }
}

function decodeTogether(shard: Shard, group: QueuedStep[]): void {
  const accepted: QueuedStep[] = []
  let rows = 0
  for (const queued of group) {
    if (!accept(shard, queued, rows)) continue
    accepted.push(queued)
    rows += queued.step.rows
  }
  if (accepted.length === 0) return
  const started = performance.now()
  try {
    const outputs = shard.decode(accepted.map(({ step }) => step))
    const computed = performance.now() - started
    let decode: DecodeSize | undefined = { steps: accepted.length, rows }
    for (const [n, queued] of accepted.entries()) {
      if (settle(queued, outputs[n], { started, computed, decode })) decode = undefined
    }
  } catch (error) {
    for (const { reject } of accepted) reject(asError(error))
  }
}

/** Whether the step may go into the decode; a refused one is answered and changes nothing for the others. */
function accept(shard: Shard, { step, reject }: QueuedStep, rows: number): boolean {
  try {
    shard.check(step, rows)
    shard.write(step, rows)
    shard.truncate(step.sequence, step.position)
    return true
  } catch (error) {
    reject(error)
    return false
  }
}

/** Whether the step has a result. @param decode to be told with it; undefined: another step has told it */
function settle(
  { arrived, resolve, reject }: QueuedStep,
  output: StepOutput | EngineError | undefined,
  { started, computed, decode }: { started: number; computed: number; decode: DecodeSize | undefined }
): boolean {
  if (output === undefined || output instanceof EngineError) {
    reject(output)
    return false
  }
  resolve({ ...output, queued: started - arrived, computed, ...(decode && { decode }) })
  return true
}
