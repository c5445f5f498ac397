import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { EngineProcess } from '../../node/engine/engine.js'
import { checkSplit, findCuts, type SplitCheckResult } from '../../node/models/split-check.js'
import { startEngine } from '../support/engine.js'
import { architectureModels, EMBER } from '../support/models.js'
import { type TemporaryFolder, temporaryFolder } from '../support/temporary.js'
import { waitFor } from '../support/wait-for.js'
import { TINY_ARCHITECTURES, type TinyModelOptions, writeTinyModel } from '../support/tiny-model.js'

let engine: EngineProcess
let folder: TemporaryFolder

beforeAll(async () => {
  folder = await temporaryFolder()
  engine = await startEngine()
})

afterAll(async () => {
  await Promise.all([engine.stop(), folder.remove()])
})

async function check(file: string, cuts: number[]): Promise<SplitCheckResult> {
  return await checkSplit({ file, cuts, engine, folder: folder.path })
}

async function tiny(options: TinyModelOptions): Promise<string> {
  const name = [options.architecture, options.type ?? 'f32', options.tokenizer ?? 'bytes', options.width ?? 64].join(
    '-'
  )
  return (await writeTinyModel(folder.file(`${name}.gguf`), options)).file
}

/** Cuts that break no pattern of the tiny models: smollm3's is 4, gemma2's 2. */
const TINY_CUTS: Partial<Record<string, number[][]>> = { smollm3: [[4], [4, 8]], gemma2: [[2, 6], [4]] }

describe.skipIf(architectureModels().size === 0)('models of llama.cpp’s own architecture test', () => {
  it.each([...architectureModels()])('%s is bit for bit the same at two cuts', async (_name, file) => {
    // qwen35 alternates attention and recurrent layers here, and needs both in each shard.
    for (const cuts of [[2, 5], [4]])
      expect(await check(file, cuts)).toMatchObject({ largestDifference: 0, exact: true })
  })
})

describe('tiny random models', () => {
  it.each(TINY_ARCHITECTURES)('%s is exact at two cuts', async architecture => {
    const layers = architecture === 'smollm3' ? 12 : 8
    const file = await tiny({ architecture, layers })
    for (const cuts of TINY_CUTS[architecture] ?? [[2, 5], [3]]) {
      const result = await check(file, cuts)
      expect(result).toMatchObject({ architecture, layers, cuts, exact: true, differentTokens: 0 })
      expect(result.largestLogit).toBeGreaterThan(0.5)
    }
  })

  // The square root of 96 is no power of two: multiplying and dividing rounds.
  it.each(['gemma', 'gemma2'] as const)('%s is within a thousandth where its scale rounds', async architecture => {
    const result = await check(await tiny({ architecture, width: 96 }), [4])
    expect(result.exact).toBe(true)
    expect(result.largestDifference).toBeLessThan(1e-3 * result.largestLogit)
  })

  it('are exact with quantized weights and without a tokenizer', async () => {
    expect(await check(await tiny({ architecture: 'llama', type: 'q8_0' }), [2, 5])).toMatchObject({ exact: true })
    expect(await check(await tiny({ architecture: 'qwen3', tokenizer: 'none' }), [2, 5])).toMatchObject({ exact: true })
  })

  it('smollm3 cut inside its pattern is told to be wrong', async () => {
    const result = await check(await tiny({ architecture: 'smollm3', layers: 12 }), [3])
    expect(result.exact).toBe(false)
    expect(result.largestDifference).toBeGreaterThan(0.01 * result.largestLogit)
  })

  it('gemma2 cut inside its pattern of windows is told to be wrong', async () => {
    expect(await check(await tiny({ architecture: 'gemma2' }), [3])).toMatchObject({ exact: false })
  })
})

describe('finding cuts', () => {
  it('allows every layer of the bundled model', async () => {
    const found = await findCuts({ file: EMBER, engine, folder: folder.path })
    expect(found).toMatchObject({ architecture: 'llama', rule: 'any layer', cuts: [1, 2, 3, 4, 5, 6, 7] })
  })

  it('allows only multiples of four layers of smollm3', async () => {
    const file = await tiny({ architecture: 'smollm3', layers: 12 })
    expect(await findCuts({ file, engine })).toMatchObject({ rule: 'every 4 layers', cuts: [4, 8] })
  })

  const alternating = architectureModels().get('qwen35')
  it.skipIf(alternating === undefined)('keeps both kinds of layer in each part of qwen35', async () => {
    const found = await findCuts({ file: alternating ?? '', engine })
    expect(found).toMatchObject({ architecture: 'qwen35', cuts: [2, 4, 6] })
  })

  it.skipIf(alternating === undefined)(
    'llama.cpp ends its process on a shard of one kind, and the engine comes back',
    async () => {
      await expect(check(alternating ?? '', [1])).rejects.toMatchObject({ code: 'ENGINE_LOST' })
      await waitFor(() => engine.state === 'ready', { what: 'the engine to be back' })
      expect(await check(alternating ?? '', [2])).toMatchObject({ exact: true })
    }
  )
})
