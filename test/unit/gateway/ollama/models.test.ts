import { describe, expect, it, vi } from 'vitest'
import { NAMES_MS } from '../../../../node/gateway/ollama/names.js'
import { VERSION } from '../../../../node/version.js'
import { HI, model, OllamaBench } from './bench.js'

const bench = new OllamaBench()

describe('a model', () => {
  it('is listed by the name that clients look for, and shown', async () => {
    const details = { format: 'gguf', family: 'qwen3', families: ['qwen3'], parameter_size: '', quantization_level: '' }
    const { models: listed } = (await (await fetch(`${bench.url}/api/tags`)).json()) as { models: object[] }
    expect(listed).toMatchObject([
      {
        ...{ name: 'toy:latest', model: 'toy:latest', size: 0, digest: model('toy').manifest, details },
        flambeau: { layers: 8, complete: true, missing: [] }
      },
      { name: 'odd:latest' },
      { name: 'twin:latest', digest: model('twin').manifest },
      { name: 'twin:latest', digest: model('twin:latest').manifest }
    ])
    for (const wanted of [{ model: 'toy:latest' }, { name: 'toy' }, { model: model('toy').manifest.slice(0, 12) }]) {
      expect(await (await bench.post('/api/show', { ...wanted, verbose: true, system: '' })).json()).toMatchObject({
        ...{ details, model_info: { 'general.architecture': 'qwen3' }, capabilities: ['completion'], template: '' },
        flambeau: { manifest: model('toy').manifest, complete: true }
      })
    }
  })

  it('has its size and its context where this node knows its manifest', async () => {
    bench.offered = [{ ...model('toy'), bytes: 5_000, context: 4_096 }, model('odd')]
    const listed = async (path: string): Promise<unknown[]> =>
      ((await (await fetch(`${bench.url}${path}`)).json()) as { models: unknown[] }).models
    const sizes = [
      { name: 'toy:latest', size: 5_000 },
      { name: 'odd:latest', size: 0 }
    ]
    expect(await listed('/api/tags')).toMatchObject(sizes)
    const [toy, odd] = await listed('/api/ps')
    expect([toy, odd]).toMatchObject(sizes)
    expect(toy).toMatchObject({ context_length: 4_096 })
    expect(odd).not.toHaveProperty('context_length')
    const shown = async (wanted: string): Promise<unknown> => (await bench.post('/api/show', { model: wanted })).json()
    const info = { 'general.architecture': 'qwen3', 'qwen3.block_count': 8 }
    expect(await shown('toy')).toMatchObject({ model_info: { ...info, 'qwen3.context_length': 4_096 } })
    expect(await shown('odd')).toMatchObject({ model_info: info })
    expect(await shown('odd')).not.toHaveProperty(['model_info', 'qwen3.context_length'])
  })

  it('is running while every layer is served, for as long as nobody knows', async () => {
    bench.offered = [model('toy'), model('part', [{ start: 2, end: 4 }])]
    const { models } = (await (await fetch(`${bench.url}/api/ps`)).json()) as { models: object[] }
    expect(models).toMatchObject([{ name: 'toy:latest', digest: model('toy').manifest, details: { family: 'qwen3' } }])
    for (const unknown of ['expires_at', 'size_vram']) expect(models[0]).not.toHaveProperty(unknown)
  })

  it.each([
    ['toy', 'toy'],
    ['toy:latest', 'toy'],
    ['odd:latest', 'odd:latest'],
    ['twin', 'twin'],
    ['twin:latest', 'twin:latest'],
    ['nobody:latest', 'nobody'],
    ['toy:7b', 'toy:7b']
  ])('called %s is looked for as %s', async (wanted, found) => {
    expect(await bench.answer('/api/chat', { model: wanted, messages: HI })).toMatchObject({ model: wanted })
    expect(bench.asked).toMatchObject({ model: found })
  })

  it('is not looked for in the whole swarm with every answer, and found although it is new', async () => {
    await bench.answer('/api/chat', { model: 'toy:latest', messages: HI })
    bench.models.mockClear()
    await bench.answer('/api/chat', { model: 'toy:latest', messages: HI })
    await bench.answer('/api/chat', { model: 'toy', messages: HI })
    expect(bench.models).not.toHaveBeenCalled()
    bench.offered = [model('new:latest')]
    await bench.answer('/api/chat', { model: 'new:latest', messages: HI })
    expect(bench.asked).toMatchObject({ model: 'new:latest' })
    expect(bench.models).toHaveBeenCalledOnce()
    const now = performance.now()
    const clock = vi.spyOn(performance, 'now').mockReturnValue(now + NAMES_MS + 1)
    try {
      await bench.answer('/api/chat', { model: 'new:latest', messages: HI })
    } finally {
      clock.mockRestore()
    }
    expect(bench.models).toHaveBeenCalledTimes(2)
  })
})

it('the version is that of Flambeau', async () => {
  expect(await (await fetch(`${bench.url}/api/version`)).json()).toEqual({ version: VERSION })
})
