import type { GenerateRequest } from '../../node/control/contract.js'
import type { LoadedShard, RowCandidates } from '../../node/engine/types.js'
import { describeModel } from '../../node/models/description.js'
import { readGguf } from '../../node/models/gguf.js'
import { promptTokens, samplingOptions } from '../../node/pipeline/request.js'
import { SAMPLED_CANDIDATES, wantFor } from '../../node/pipeline/sampling.js'
import { engineAndTokenizer, type EngineAndTokenizer } from '../support/whole-model.js'
import { type Choice, verdictOf, type Verdict } from './judgement.js'

const BATCH = 512
const SEQUENCE = 0

/**
 * The whole model, alone in an engine of its own, which is given the very tokens of an answer: each must be what the model
 * says after those before it. So it can judge answers that were computed together with others, or replayed in large
 * steps, which a run of its own would differ from after the first token that rounding has changed.
 */
export class Referee implements AsyncDisposable {
  readonly #parts: EngineAndTokenizer
  readonly #shard: LoadedShard
  readonly #layers: number

  private constructor(parts: EngineAndTokenizer, { shard, layers }: { shard: LoadedShard; layers: number }) {
    this.#parts = parts
    this.#shard = shard
    this.#layers = layers
  }

  /** @param context positions of prompt and answer together, at most */
  static async start(file: string, { context }: { context: number }): Promise<Referee> {
    const { architecture, layers } = describeModel(await readGguf(file))
    const parts = await engineAndTokenizer(file)
    const whole = { file, architecture, start: 0, end: layers, layers }
    const shard = await parts.engine.load(whole, { context, sequences: 1, batch: BATCH })
    return new Referee(parts, { shard, layers })
  }

  async judge(request: GenerateRequest, tokens: readonly number[]): Promise<Verdict> {
    const prompt = await promptTokens(this.#parts.tokenizer, request, new AbortController().signal)
    const sampling = samplingOptions(request)
    const all = [...prompt, ...tokens]
    const rows = await this.#candidates(all.slice(0, -1), { from: prompt.length - 1, request })
    const choices = tokens.map((token, i): Choice => {
      const row = rows[i]
      if (row === undefined) throw new RangeError(`no candidates for token ${i} of ${tokens.length}`)
      return { token, row, before: { tokens: all.slice(0, prompt.length + i), promptLength: prompt.length } }
    })
    return verdictOf(choices, sampling)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#parts[Symbol.asyncDispose]()
  }

  /** What may come after each of the tokens from position `from` on, with what rounding could bring to the top. */
  async #candidates(
    tokens: readonly number[],
    { from, request }: { from: number; request: GenerateRequest }
  ): Promise<RowCandidates[]> {
    const { candidates, ...others } = wantFor(samplingOptions(request), { tokens, promptLength: tokens.length })
    const want = { ...others, candidates: Math.max(candidates, SAMPLED_CANDIDATES) }
    const found: RowCandidates[] = []
    for (let position = 0; position < tokens.length; position += BATCH) {
      const chunk = Uint32Array.from(tokens.slice(position, position + BATCH))
      const rows = Math.max(0, Math.min(chunk.length, position + chunk.length - from))
      const step = { shard: this.#shard.id, sequence: SEQUENCE, position, rows: chunk.length, tokens: chunk }
      const result = await this.#parts.engine.step({
        ...step,
        leave: this.#layers,
        dtype: 'f32',
        want: { ...want, rows }
      })
      found.push(...result.candidates)
    }
    await this.#parts.engine.release(this.#shard.id, SEQUENCE)
    return found
  }
}
