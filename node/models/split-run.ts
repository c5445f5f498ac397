import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { abortable, deadline } from '../deadline.js'
import type { ContextSettings, Engine, EngineStepResult, ShardFile, Want } from '../engine/types.js'
import { makeComparisonFolder } from './comparison-folder.js'
import type { ModelDescription } from './description.js'
import { type ModelFile, writeShard } from './shard-writer.js'
import type { LayerRange } from './types.js'

/** One step's tokens, and where they go. */
export interface TokenStep {
  position: number
  tokens: Uint32Array
}

/** What a model said: the steps it was given and, for the last row of each, every logit. */
export interface Transcript {
  steps: TokenStep[]
  /** `[vocabulary]` for each step. */
  logits: Float32Array[]
}

/** The part of an engine that a comparison uses. */
export type SplitEngine = Pick<Engine, 'state' | 'load' | 'unload' | 'step'>

/** The model under comparison, and where to run it. */
export interface SplitSubject {
  engine: SplitEngine
  model: ModelFile
  description: ModelDescription
  /** For shard files, which are removed again; the system's folder for temporary files by default. */
  folder?: string
  signal?: AbortSignal
}

/** Milliseconds for one call of the engine: it may read a model that is larger than the memory from a slow disk. */
const CALL_LIMIT = 3_600_000

const NOTHING: Want = { rows: 0, candidates: 0, ids: [], logSumExp: false }

/** Runs the whole model over `prompt` in one step and then `decodes` steps of one token each, its own greedy choice. */
export async function runWhole(subject: SplitSubject, prompt: Uint32Array, decodes: number): Promise<Transcript> {
  const { model, description } = subject
  const transcript: Transcript = { steps: [], logits: [] }
  const whole = { start: 0, end: description.layers }
  await withShard(subject, shardFile(subject, model.file, whole), prompt.length + decodes, async run => {
    let step: TokenStep = { position: 0, tokens: prompt }
    for (let n = 0; n <= decodes; n++) {
      const logits = logitsOf(await run(step), description.vocabulary)
      transcript.steps.push(step)
      transcript.logits.push(logits)
      step = { position: step.position + step.tokens.length, tokens: Uint32Array.of(argmax(logits)) }
    }
  })
  return transcript
}

/** Called before each shard of a chain is written and run. */
export type ShardProgress = (range: LayerRange) => void

/** Runs the same steps through shards of `ranges`, one shard loaded at a time; returns the logits of each step. */
export async function runChain(
  subject: SplitSubject,
  ranges: readonly LayerRange[],
  steps: readonly TokenStep[],
  onShard: ShardProgress = () => undefined
): Promise<Float32Array[]> {
  const folder = await makeComparisonFolder(subject.folder ?? tmpdir())
  try {
    let hidden: Uint8Array[] | undefined
    for (const range of ranges) {
      onShard(range)
      const outputs = await runShard(subject, { range, file: join(folder, 'shard.gguf') }, steps, hidden)
      const { layers, vocabulary } = subject.description
      if (range.end === layers) return outputs.map(output => logitsOf(output, vocabulary))
      hidden = outputs.map(output => hiddenOf(output))
    }
    throw new RangeError('the ranges of a chain must end with the last layer')
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

async function runShard(
  subject: SplitSubject,
  { range, file }: { range: LayerRange; file: string },
  steps: readonly TokenStep[],
  hidden: readonly Uint8Array[] | undefined
): Promise<EngineStepResult[]> {
  await writeShard(subject.model, range, file, signalOption(subject.signal))
  const rows = steps.reduce((sum, { tokens }) => sum + tokens.length, 0)
  const outputs: EngineStepResult[] = []
  await withShard(subject, shardFile(subject, file, range), rows, async run => {
    for (const [n, step] of steps.entries()) outputs.push(await run(step, hidden?.[n]))
  })
  await rm(file)
  return outputs
}

type Run = (step: TokenStep, hidden?: Uint8Array) => Promise<EngineStepResult>

/** Loads a shard for as long as `use` takes. */
async function withShard(
  { engine, description, signal }: SplitSubject,
  shard: ShardFile,
  rows: number,
  use: (run: Run) => Promise<void>
): Promise<void> {
  const settings: ContextSettings = { context: rows, sequences: 1, batch: rows }
  const loaded = await limited('loading a shard', signal, limit => engine.load(shard, settings, { signal: limit }))
  const want = shard.end === shard.layers ? { ...NOTHING, rows: 1, candidates: description.vocabulary } : NOTHING
  const run: Run = ({ position, tokens }, bytes) => {
    const place = { shard: loaded.id, sequence: 0, position, rows: tokens.length }
    const input = bytes === undefined ? { tokens } : { hidden: { dtype: 'f32' as const, bytes } }
    const step = { ...place, ...input, leave: shard.end, dtype: 'f32' as const, want }
    return limited('a step', signal, () => engine.step(step))
  }
  try {
    await use(run)
  } finally {
    // An engine that is still at work is stopped by its owner. When its process is gone, so is the shard, and what failed
    // before is the error to report.
    if (signal?.aborted !== true) await engine.unload(loaded.id).catch(() => undefined)
  }
}

async function limited<T>(
  what: string,
  parent: AbortSignal | undefined,
  call: (signal: AbortSignal) => Promise<T>
): Promise<T> {
  using limit = deadline(what, CALL_LIMIT, parent)
  return await abortable(call(limit.signal), limit.signal)
}

function shardFile({ description }: SplitSubject, file: string, { start, end }: LayerRange): ShardFile {
  return { file, architecture: description.architecture, start, end, layers: description.layers }
}

function signalOption(signal: AbortSignal | undefined): { signal?: AbortSignal } {
  return signal ? { signal } : {}
}

/** All logits of the last row, by token: the engine answers with as many candidates as there are tokens. */
function logitsOf({ candidates }: EngineStepResult, vocabulary: number): Float32Array {
  const logits = new Float32Array(vocabulary).fill(NaN)
  candidates[0]?.ids.forEach((id, i) => (logits[id] = candidates[0]?.logits[i] ?? NaN))
  return logits
}

function hiddenOf({ hidden }: EngineStepResult): Uint8Array {
  if (hidden === undefined) throw new TypeError('the engine answered without the hidden states that were asked for')
  return hidden
}

/** Index of the largest number; NaN never is. */
export function argmax(values: Float32Array): number {
  let best = 0
  let largest = -Infinity
  values.forEach((value, i) => {
    if (value > largest) {
      largest = value
      best = i
    }
  })
  return best
}
