import type { GenerateRequest } from '../control/contract.js'
import type { Engine, Tokenizer } from '../engine/types.js'
import { describeModel } from '../models/description.js'
import { readGguf } from '../models/gguf.js'
import { answer } from './answer.js'
import { stagesToCutFor } from './prompt.js'
import { promptTokens, samplingOptions } from './request.js'
import type { RingSession } from './ring-session.js'
import type { StepAnswer, StepRequest } from './session-types.js'
import { ServedShard, type Lease } from './served-shard.js'

/** Rows in one decode; as many as a node's default. */
const BATCH = 512

export interface WholeModelParts {
  /** Started; nothing else uses it. */
  engine: Engine
  tokenizer: Tokenizer
}

/**
 * A whole model in one engine, behind the interface of a session over the mesh: what answers of the mesh are compared
 * with. Steps have the same shapes as on a route of `stages` stages, since rounding depends on them.
 */
export class WholeModel {
  readonly #parts: WholeModelParts
  readonly #shard: ServedShard
  readonly #layers: number
  readonly #context: number

  private constructor(parts: WholeModelParts, shard: ServedShard, facts: { layers: number; context: number }) {
    this.#parts = parts
    this.#shard = shard
    this.#layers = facts.layers
    this.#context = facts.context
  }

  /** @throws ModelError, EngineError */
  static async load(parts: WholeModelParts, file: string): Promise<WholeModel> {
    const { architecture, layers, context } = describeModel(await readGguf(file))
    const whole = { file, architecture, start: 0, end: layers, layers }
    const loaded = await parts.engine.load(whole, { context, sequences: 1, batch: BATCH })
    const facts = { manifest: '', range: { start: 0, end: layers }, layers, loaded }
    return new WholeModel(parts, new ServedShard({ engine: parts.engine }, facts), { layers, context })
  }

  /** The token ids of the whole answer. */
  async answer(request: GenerateRequest, route: { stages: number }): Promise<number[]> {
    const { tokenizer } = this.#parts
    const prompt = await promptTokens(tokenizer, request, new AbortController().signal)
    const maxTokens = Math.min(request.sampling.maxTokens ?? Infinity, this.#context - prompt.length)
    const lease = this.#shard.reserve(this.#context)
    const tokens: number[] = []
    try {
      const sampling = samplingOptions(request)
      const stages = stagesToCutFor(request, route.stages)
      const options = { prompt, stages, sampling, stop: request.sampling.stop ?? [], maxTokens, context: this.#context }
      for await (const event of answer(this.#session(lease), tokenizer, options)) {
        if (event.type === 'token') tokens.push(event.token)
      }
      return tokens
    } finally {
      await lease.release()
    }
  }

  #session(lease: Lease): Pick<RingSession, 'step' | 'rowsPerStep'> {
    const step = async ({ tokens, position, want }: StepRequest): Promise<StepAnswer> => {
      const rows = tokens.length
      const result = await lease.step({ tokens, position, rows, leave: this.#layers, dtype: 'f32', want })
      return { rows: result.candidates, timings: [], elapsed: result.computed }
    }
    return { step, rowsPerStep: this.#shard.facts.loaded.batch }
  }
}
