import { readdir, writeFile } from 'node:fs/promises'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { checkSplit, findCuts, type SplitProgress } from '../../../node/models/split-check.js'
import { ggufBytes, type GgufValue } from '../../support/gguf-writer.js'
import { type TemporaryFolder, temporaryFolder } from '../../support/temporary.js'
import { type TinyModelOptions, writeTinyModel } from '../../support/tiny-model.js'
import { ToyEngine } from '../../support/toy-engine.js'

let folder: TemporaryFolder

beforeEach(async () => {
  folder = await temporaryFolder()
})

afterEach(async () => {
  await folder.remove()
})

async function model(options: Partial<TinyModelOptions> = {}): Promise<string> {
  const { file } = await writeTinyModel(folder.file('model.gguf'), { architecture: 'llama', ...options })
  return file
}

function headerOf(architecture: string): Buffer {
  const sizes = ['block_count', 'embedding_length', 'context_length', 'vocab_size']
  const metadata = new Map<string, GgufValue>([['general.architecture', { type: 'string', value: architecture }]])
  for (const key of sizes) metadata.set(`${architecture}.${key}`, { type: 'u32', value: 32 })
  return ggufBytes(metadata, [])
}

describe('a check of one split', () => {
  it('finds chained shards exact, one loaded at a time, and leaves no file and no shard behind', async () => {
    const engine = new ToyEngine()
    const file = await model()
    const result = await checkSplit({ file, cuts: [3, 5], engine, folder: folder.path })
    expect(result).toEqual({
      architecture: 'llama',
      layers: 8,
      cuts: [3, 5],
      largestDifference: 0,
      largestLogit: expect.any(Number) as number,
      differentTokens: 0,
      exact: true
    })
    expect(result.largestLogit).toBeGreaterThan(0.1)
    expect(engine.loads).toEqual([
      { start: 0, end: 8 },
      { start: 0, end: 3 },
      { start: 3, end: 5 },
      { start: 5, end: 8 }
    ])
    expect(engine.mostAtOnce).toBe(1)
    expect(engine.loaded).toBe(0)
    expect(await readdir(folder.path)).toEqual(['model.gguf'])
  })

  it('sees a pattern over the layers that the cut breaks', async () => {
    const file = await model()
    const engine = new ToyEngine({ period: 4 })
    const good = await checkSplit({ file, cuts: [4], engine })
    const bad = await checkSplit({ file, cuts: [3], engine })
    expect(good.exact).toBe(true)
    expect(bad.exact).toBe(false)
    expect(bad.largestDifference).toBeGreaterThan(1e-3 * bad.largestLogit)
    expect(bad.differentTokens).toBeGreaterThan(0)
  })

  it('takes a difference within a thousandth of the largest logit for rounding, and not more', async () => {
    const file = await model()
    const { largestLogit } = await checkSplit({ file, cuts: [4], engine: new ToyEngine() })
    const within = await checkSplit({ file, cuts: [4], engine: new ToyEngine({ error: 0.9e-3 * largestLogit }) })
    const beyond = await checkSplit({ file, cuts: [4], engine: new ToyEngine({ error: 1.1e-3 * largestLogit }) })
    expect(within).toMatchObject({ exact: true, differentTokens: 0 })
    expect(beyond).toMatchObject({ exact: false, differentTokens: 0 })
  })

  it('counts numbers that are not finite as infinitely wrong', async () => {
    const result = await checkSplit({ file: await model(), cuts: [4], engine: new ToyEngine({ error: NaN }) })
    expect(result).toMatchObject({ exact: false, largestDifference: Infinity })
  })

  it('tells which layers it runs', async () => {
    const seen: SplitProgress[] = []
    const onProgress = (progress: SplitProgress): unknown => seen.push(progress)
    await checkSplit({ file: await model({ layers: 4 }), cuts: [1], engine: new ToyEngine(), onProgress })
    expect(seen).toEqual([
      { cuts: [], range: { start: 0, end: 4 }, layers: 4 },
      { cuts: [1], range: { start: 0, end: 1 }, layers: 4 },
      { cuts: [1], range: { start: 1, end: 4 }, layers: 4 }
    ])
  })

  it('refuses cuts that are not in the model', async () => {
    await expect(checkSplit({ file: await model(), cuts: [8], engine: new ToyEngine() })).rejects.toThrow(RangeError)
  })

  it('stops when it is told to, and cleans up', async () => {
    const controller = new AbortController()
    const engine = new ToyEngine()
    const onProgress = ({ range }: SplitProgress): void => {
      if (range.start === 3) controller.abort()
    }
    const check = checkSplit({
      file: await model(),
      cuts: [3],
      engine,
      folder: folder.path,
      onProgress,
      signal: controller.signal
    })
    await expect(check).rejects.toThrow('aborted')
    expect(engine.loaded).toBe(0)
    expect(await readdir(folder.path)).toEqual(['model.gguf'])
  })
})

describe('an engine at work', () => {
  it('is not waited for when the check is stopped', async () => {
    const controller = new AbortController()
    class Busy extends ToyEngine {
      override step(): Promise<never> {
        controller.abort(new Error('stopped'))
        return new Promise(() => undefined)
      }

      override unload(): Promise<never> {
        return new Promise(() => undefined)
      }
    }
    const check = checkSplit({ file: await model(), cuts: [3], engine: new Busy(), signal: controller.signal })
    await expect(check).rejects.toThrow('stopped')
  })
})

describe('finding cuts', () => {
  it('allows every layer where every layer is exact', async () => {
    const found = await findCuts({ file: await model({ layers: 5 }), engine: new ToyEngine() })
    expect(found).toMatchObject({ architecture: 'llama', layers: 5, rule: 'any layer', cuts: [1, 2, 3, 4] })
    expect(found.checks.map(({ cuts }) => cuts)).toEqual([[1, 2, 3, 4], [2]])
  })

  it.each([2, 3, 4])('finds a pattern of %i layers', async period => {
    const found = await findCuts({ file: await model(), engine: new ToyEngine({ period }) })
    expect(found.rule).toBe(`every ${period} layers`)
    expect(found.cuts).toEqual(period === 2 ? [2, 4, 6] : period === 3 ? [3, 6] : [4])
  })

  it('keeps the known period of an architecture even where everything is exact', async () => {
    const found = await findCuts({ file: await model({ architecture: 'smollm3' }), engine: new ToyEngine() })
    expect(found).toMatchObject({ rule: 'every 4 layers', cuts: [4] })
  })

  it('counts a crash as a no and goes on when the engine is back', async () => {
    const engine = new ToyEngine({ crashOn: ({ start, end }) => end - start === 1 })
    const found = await findCuts({ file: await model(), engine })
    expect(found).toMatchObject({ rule: 'every 2 layers', cuts: [2, 4, 6] })
  })

  it('has nothing to prove about a single layer', async () => {
    const found = await findCuts({ file: await model({ layers: 1 }), engine: new ToyEngine() })
    expect(found).toMatchObject({ cuts: [], checks: [] })
  })

  it('refuses a model that is wrong wherever it is cut, with the numbers', async () => {
    const refusal = findCuts({ file: await model(), engine: new ToyEngine({ error: 5 }) })
    await expect(refusal).rejects.toMatchObject({ code: 'NO_EXACT_CUTS' })
    await expect(refusal).rejects.toThrow(/any layer: logits differ by up to 5\.00, 0 tokens differ; every 2 layers: /)
  })

  it('refuses an architecture that cannot be cut, before it runs anything', async () => {
    const file = folder.file('gpt2.gguf')
    const engine = new ToyEngine()
    await writeFile(file, headerOf('gpt2'))
    const refusal = findCuts({ file, engine })
    await expect(refusal).rejects.toMatchObject({ code: 'UNSPLITTABLE' })
    await expect(refusal).rejects.toThrow('learned position embeddings')
    expect(engine.loads).toEqual([])
  })

  it('refuses a model whose pattern is as long as itself', async () => {
    const file = await model({ architecture: 'smollm3', layers: 4 })
    await expect(findCuts({ file, engine: new ToyEngine() })).rejects.toMatchObject({ code: 'NO_EXACT_CUTS' })
  })

  it('says so when the whole model does not run', async () => {
    const engine = new ToyEngine({ crashOn: ({ start, end, layers }) => end - start === layers })
    await expect(findCuts({ file: await model(), engine })).rejects.toMatchObject({ code: 'WHOLE_FAILED' })
  })
})
