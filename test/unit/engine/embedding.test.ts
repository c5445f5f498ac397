import { getLlama } from 'node-llama-cpp'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { EngineProcess } from '../../../node/engine/engine.js'
import { openTokenizer } from '../../../node/engine/tokenizer.js'
import type { EngineStepResult, Want } from '../../../node/engine/types.js'
import { describeModel } from '../../../node/models/description.js'
import { readGguf } from '../../../node/models/gguf.js'
import { unitVector } from '../../../node/pipeline/vector.js'
import { writeEmbeddingModel } from '../../support/embedding-model.js'
import { startEngine } from '../../support/engine.js'
import { architectureModels } from '../../support/models.js'
import { type TemporaryFolder, temporaryFolder } from '../../support/temporary.js'
import {
  difference,
  EMBER_VOCABULARY,
  hiddenStep,
  loadRange,
  loadWhole,
  logitsOf,
  NOTHING,
  type Placed,
  silentLogger,
  type TestModel,
  throughChain,
  TOKENIZER_CHILD,
  tokenStep
} from './support.js'

const EMBEDDING: Want = { ...NOTHING, rows: 1, embedding: true }
/** Of the largest value: what is computed together changes rounding. */
const ROUNDING = 1e-3
/** llama.cpp's own way puts all rows through the last layer: the same bits where the kernel rounds each row alone. */
const OTHER_KERNEL = 1e-4

let engine: EngineProcess
let folder: TemporaryFolder
let model: TestModel
let whole: Placed

beforeAll(async () => {
  engine = await startEngine()
  folder = await temporaryFolder()
  model = { file: folder.file('embedding.gguf'), architecture: 'llama', layers: 8 }
  await writeEmbeddingModel(model.file)
  whole = await loadWhole(engine, model)
})

afterAll(async () => {
  await engine.stop()
  await folder.remove()
})

function prompt(length: number, seed = 1): number[] {
  return Array.from({ length }, (_, n) => (n * 37 + seed * 11) % EMBER_VOCABULARY)
}

function embeddingOf({ candidates: [row] }: EngineStepResult): Float32Array {
  return row?.embedding ?? new Float32Array(0)
}

test('a chain of shards gives the very embedding of the whole model, and nothing else', async () => {
  const first = await loadRange(engine, folder.path, [0, 3], model)
  const middle = await loadRange(engine, folder.path, [3, 6], model)
  const last = await loadRange(engine, folder.path, [6, 8], model)
  const expected = await engine.step(tokenStep(whole, prompt(40), 0, { want: EMBEDDING }))
  expect(expected).toMatchObject({
    hidden: undefined,
    candidates: [{ ids: new Uint32Array(0), logits: new Float32Array(0) }]
  })
  expect(embeddingOf(expected)).toHaveLength(whole.width)
  const step = tokenStep(first, prompt(40), 0)
  const half = await engine.step(step)
  const further = await engine.step(hiddenStep(middle, step, half.hidden))
  const chained = await engine.step(hiddenStep(last, step, further.hidden, { want: EMBEDDING }))
  expect(embeddingOf(chained)).toEqual(embeddingOf(expected))
  for (const shard of [first, middle, last]) await engine.unload(shard.id)
})

test('an embedding is that of the last row, whatever came before it in steps of its own', async () => {
  const at = async (tokens: number[]): Promise<Float32Array> =>
    embeddingOf(await engine.step(tokenStep(whole, tokens, 0, { want: EMBEDDING })))
  const [long, short] = [await at(prompt(20)), await at(prompt(12))]
  expect(difference(long, short)).toBeGreaterThan(0.05)
  await engine.step(tokenStep(whole, prompt(20).slice(0, 12), 0, { want: NOTHING }))
  const rest = await engine.step(tokenStep(whole, prompt(20).slice(12), 12, { want: EMBEDDING }))
  expect(difference(long, embeddingOf(rest))).toBeLessThan(ROUNDING)
})

test('it is what llama.cpp itself calls the embedding of the text', async () => {
  const llama = await getLlama({ gpu: false, build: 'never', maxThreads: 1, logger: () => undefined })
  const reference = await llama.loadModel({ modelPath: model.file })
  const context = await reference.createEmbeddingContext({ contextSize: 256, threads: 1 })
  const tokenizer = await openTokenizer(
    { childModule: TOKENIZER_CHILD, logger: silentLogger },
    { headerFile: model.file }
  )
  try {
    for (const text of ['What is the capital of France?', 'A hen lays eggs.', 'a']) {
      const tokens = await tokenizer.tokenize(text, { addSpecial: true, special: false })
      expect(tokenizer.isEndOfGeneration(tokens.at(-1) ?? -1)).toBe(true)
      const { vector } = await context.getEmbeddingFor(text)
      const own = embeddingOf(await engine.step(tokenStep(whole, [...tokens], 0, { want: EMBEDDING })))
      const [a, b] = [unitVector(Float32Array.from(vector), whole.width), unitVector(own, whole.width)]
      expect(difference(a, b)).toBeLessThan(OTHER_KERNEL)
    }
  } finally {
    await tokenizer.close()
    await llama.dispose()
  }
})

test('other sequences get the very logits that they get without it', async () => {
  const lengths = [5, 17, 1]
  // A step that fills a decode keeps the engine busy while the others gather behind it: together they round alike.
  const gathered = async (want: Want | undefined): Promise<[EngineStepResult[], Float32Array]> => {
    const busy = engine.step(tokenStep(whole, prompt(64, 9), 0, { sequence: 3, want: NOTHING }))
    const others = lengths.map((length, n) => engine.step(tokenStep(whole, prompt(length, n), 0, { sequence: n })))
    const embedding = want && engine.step(tokenStep(whole, prompt(9, 7), 0, { sequence: 3, want }))
    await busy
    const results = await Promise.all(others)
    expect(new Set(results.map(({ computed }) => computed)).size).toBe(1)
    return [results, embedding === undefined ? new Float32Array(0) : embeddingOf(await embedding)]
  }
  const [without] = await gathered(undefined)
  const [beside, embedding] = await gathered(EMBEDDING)
  expect(beside.map(logitsOf)).toEqual(without.map(logitsOf))
  const alone = await engine.step(tokenStep(whole, prompt(9, 7), 0, { sequence: 3, want: EMBEDDING }))
  expect(embedding).toEqual(embeddingOf(alone))
})

test('embeddings of several sequences are computed together', async () => {
  const lengths = [9, 4, 30]
  const alone = []
  for (const [n, length] of lengths.entries()) {
    alone.push(embeddingOf(await engine.step(tokenStep(whole, prompt(length, n), 0, { want: EMBEDDING }))))
  }
  const busy = engine.step(tokenStep(whole, prompt(64, 9), 0, { sequence: 3, want: NOTHING }))
  const together = await Promise.all(
    lengths.map((length, n) => engine.step(tokenStep(whole, prompt(length, n), 0, { sequence: n, want: EMBEDDING })))
  )
  await busy
  expect(new Set(together.map(({ computed }) => computed)).size).toBe(1)
  for (const [n, result] of together.entries()) {
    expect(difference(alone[n] ?? new Float32Array(0), embeddingOf(result))).toBeLessThan(ROUNDING)
  }
})

test('a sequence goes on with candidates after an embedding, and the other way round', async () => {
  const expected = await throughChain(engine, [whole], prompt(10), { position: 0 })
  await engine.step(tokenStep(whole, prompt(9), 0, { want: EMBEDDING }))
  const answer = await engine.step(tokenStep(whole, prompt(10).slice(9), 9))
  expect(difference(logitsOf(expected), logitsOf(answer))).toBeLessThan(ROUNDING)
})

test.each([...architectureModels()])(
  'models of other architectures have embeddings: %s',
  async (architecture, file) => {
    const { layers, width } = describeModel(await readGguf(file))
    const shard = await loadWhole(engine, { file, architecture, layers })
    const embedding = embeddingOf(await engine.step(tokenStep(shard, [1, 2, 3, 4, 5], 0, { want: EMBEDDING })))
    expect(embedding).toHaveLength(width)
    expect(embedding.some(value => value !== 0)).toBe(true)
    await engine.unload(shard.id)
  }
)
