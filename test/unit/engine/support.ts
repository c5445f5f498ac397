import { pathToFileURL } from 'node:url'
import path from 'node:path'
import type { EngineLogger } from '../../../node/engine/child-client.js'
import type { Dtype, Engine, EngineStep, EngineStepResult, LoadedShard, Want } from '../../../node/engine/types.js'
import { readGguf } from '../../../node/models/gguf.js'
import { writeShard } from '../../../node/models/shard-writer.js'
import { CodedError } from '../../../protocol/errors.js'
import { EMBER, PROJECT_ROOT } from '../../support/models.js'

export interface TestModel {
  file: string
  architecture: string
  layers: number
}

export const ember: TestModel = { file: EMBER, architecture: 'llama', layers: 8 }
export const EMBER_VOCABULARY = 2048

export const NOTHING: Want = { rows: 0, candidates: 0, ids: [], logSumExp: false }
/** Every logit of the last row, whatever the vocabulary. */
export const EVERYTHING: Want = { ...NOTHING, rows: 1, candidates: 1_000_000 }
export const CONTEXT = { context: 256, sequences: 4, batch: 64 }

export const silentLogger: EngineLogger = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined
}

export const TOKENIZER_CHILD = pathToFileURL(path.join(PROJECT_ROOT, 'dist/node/engine/tokenizer-child.js'))

/** A loaded shard and its place in the model. */
export interface Placed extends LoadedShard {
  start: number
  end: number
  layers: number
}

export async function loadWhole(engine: Engine, model = ember, settings = CONTEXT): Promise<Placed> {
  const place = { start: 0, end: model.layers, layers: model.layers }
  const loaded = await engine.load({ file: model.file, architecture: model.architecture, ...place }, settings)
  return { ...loaded, ...place }
}

/** Writes layers `[start, end)` into `folder` and loads them. */
export async function loadRange(
  engine: Engine,
  folder: string,
  [start, end]: readonly [number, number],
  model = ember
): Promise<Placed> {
  const file = path.join(folder, `${start}-${end}.gguf`)
  await writeShard({ file: model.file, gguf: await readGguf(model.file) }, { start, end }, file)
  const place = { start, end, layers: model.layers }
  const loaded = await engine.load({ file, architecture: model.architecture, ...place }, CONTEXT)
  return { ...loaded, ...place }
}

/** A step of tokens for a shard that starts at layer 0; wants all logits where it has the head. */
export function tokenStep(
  shard: Placed,
  tokens: readonly number[],
  position: number,
  change: Partial<EngineStep> = {}
): EngineStep {
  const leave = change.leave ?? shard.end
  return {
    shard: shard.id,
    sequence: 0,
    position,
    rows: tokens.length,
    tokens: Uint32Array.from(tokens),
    leave,
    dtype: 'f32',
    want: leave === shard.layers ? EVERYTHING : NOTHING,
    ...change
  }
}

/** The step that takes a hidden state onwards. */
export function hiddenStep(
  shard: Placed,
  from: EngineStep,
  bytes: Uint8Array | undefined,
  change: Partial<EngineStep> = {}
): EngineStep {
  const rest = { ...from }
  delete rest.tokens
  const leave = change.leave ?? shard.end
  const dtype: Dtype = from.dtype
  const want = leave === shard.layers ? EVERYTHING : NOTHING
  return { ...rest, shard: shard.id, leave, want, hidden: { dtype, bytes: bytes ?? new Uint8Array() }, ...change }
}

/** One step of tokens through a chain of shards. */
export async function throughChain(
  engine: Engine,
  [first, ...others]: readonly [Placed, ...Placed[]],
  tokens: readonly number[],
  change: Partial<EngineStep> & { position: number }
): Promise<EngineStepResult> {
  const step = tokenStep(first, tokens, change.position, change)
  let result = await engine.step(step)
  for (const shard of others) result = await engine.step(hiddenStep(shard, step, result.hidden))
  return result
}

/** All logits of a result's first row, by token. */
export function logitsOf({ candidates: [row] }: EngineStepResult): Float32Array {
  const logits = new Float32Array(row?.ids.length ?? 0).fill(NaN)
  row?.ids.forEach((id, n) => (logits[id] = row.logits[n] ?? NaN))
  return logits
}

/** The largest difference between two rows of logits, over the largest logit; infinite where one has none. */
export function difference(a: Float32Array, b: Float32Array): number {
  if (a.length === 0 || a.length !== b.length) return Infinity
  const largest = Math.max(...a.map(Math.abs))
  return a.reduce((most, logit, id) => Math.max(most, Math.abs(logit - (b[id] ?? Infinity)) / largest), 0)
}

/** The code of what `act` throws; undefined when it does not. */
export function codeOf(act: () => unknown): string | undefined {
  try {
    act()
    return undefined
  } catch (error) {
    return error instanceof CodedError ? (error.code as string) : String(error)
  }
}

/** The code of what `promise` rejects with; undefined when it does not. */
export async function rejectionOf(promise: Promise<unknown>): Promise<string | undefined> {
  try {
    await promise
    return undefined
  } catch (error) {
    return error instanceof CodedError ? (error.code as string) : String(error)
  }
}
