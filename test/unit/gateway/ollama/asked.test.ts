import { describe, expect, it } from 'vitest'
import { HI, OllamaBench } from './bench.js'

const bench = new OllamaBench()

describe('what the origin is asked', () => {
  it('is what the options say', async () => {
    await bench.answer('/api/chat', {
      messages: [{ role: 'system', content: 'be brief' }, ...HI],
      options: {
        ...{ temperature: 0.5, top_k: 0, top_p: 0.9, min_p: 0, repeat_penalty: 1.1, presence_penalty: 1 },
        ...{ frequency_penalty: -1, seed: 5, stop: ['x'], num_predict: 9 }
      }
    })
    expect(bench.asked).toEqual({
      model: 'toy',
      messages: [{ role: 'system', content: 'be brief' }, ...HI],
      sampling: {
        ...{ temperature: 0.5, topK: 0, topP: 0.9, minP: 0, repeatPenalty: 1.1, presencePenalty: 1 },
        ...{ frequencyPenalty: -1, seed: 5, stop: ['x'], maxTokens: 9 }
      }
    })
  })

  it.each([[{ seed: -1, num_predict: -1 }], [{ num_predict: -2, stop: [], temperature: null }], [{}], [null]])(
    'is what it is without them where they say %j',
    async options => {
      await bench.answer('/api/chat', { messages: HI, options })
      expect(bench.asked).toEqual({ model: 'toy', messages: HI, sampling: {} })
    }
  )

  it('has nothing of what front-ends send whether they mean it or not', async () => {
    const nothing = { tools: [], format: '', think: false, logprobs: false, keep_alive: '5m' }
    const silent = { images: [], thinking: '', tool_calls: null }
    const options = {
      ...{ num_ctx: 8192, num_thread: 4, num_gpu: 99, num_batch: 512, num_keep: 4, use_mmap: true, use_mlock: false },
      ...{ main_gpu: 0, numa: false, low_vram: false, f16_kv: true, mirostat: 0, mirostat_tau: 5, mirostat_eta: 0.1 },
      ...{ tfs_z: 1, typical_p: 1, repeat_last_n: 64, penalize_newline: true, vocab_only: false, logits_all: false }
    }
    await bench.answer('/api/chat', { ...nothing, messages: HI.map(one => ({ ...one, ...silent })), options })
    expect(bench.asked).toEqual({ model: 'toy', messages: HI, sampling: {} })
    await bench.answer('/api/generate', {
      ...nothing,
      prompt: 'hi',
      images: [],
      suffix: '',
      template: '',
      context: [],
      system: ''
    })
    expect(bench.asked).toEqual({ model: 'toy', messages: HI, sampling: {} })
  })

  it('is a conversation of a prompt, or the prompt as it is', async () => {
    await bench.answer('/api/generate', { prompt: 'hi', system: 'be brief' })
    expect(bench.asked).toMatchObject({ messages: [{ role: 'system', content: 'be brief' }, ...HI] })
    await bench.answer('/api/generate', { prompt: 'hi', raw: true })
    expect(bench.asked).toEqual({ model: 'toy', prompt: 'hi', raw: true, sampling: {} })
  })
})

describe("tools and formats in Ollama's form", () => {
  const tools = [{ type: 'function', function: { name: 'weather', description: 'of a city', parameters: {} } }]
  const city = { city: 'Ulm' }

  it('are what the origin is asked for, and calls come with their arguments as a value', async () => {
    const messages = [
      { role: 'assistant', content: '', tool_calls: [{ function: { name: 'weather', arguments: city } }] },
      { role: 'tool', tool_name: 'weather', content: 'warm' }
    ]
    const body = { model: 'toy', messages, tools }
    const whole = (await (await bench.post('/api/chat', { ...body, stream: false })).json()) as object
    expect(bench.asked?.tools).toEqual([{ name: 'weather', description: 'of a city', parameters: {} }])
    expect(bench.asked?.messages).toEqual([
      { role: 'assistant', content: '', toolCalls: [{ id: 'call_0_0', name: 'weather', arguments: '{"city":"Ulm"}' }] },
      { role: 'tool', content: 'warm', toolCall: 'call_0_0' }
    ])
    const calls = [{ function: { name: 'weather', arguments: city } }]
    expect(whole).toMatchObject({ message: { content: 'warm', tool_calls: calls }, done: true })
    const lines = (await (await bench.post('/api/chat', body)).text()).trim().split('\n')
    const parts = lines.map(line => JSON.parse(line) as { message: { tool_calls?: object[] }; done: boolean })
    expect(parts.flatMap(({ message }) => message.tool_calls ?? [])).toEqual(calls)
    expect(parts.at(-1)?.done).toBe(true)
  })

  it('have ids by which each result belongs to a call', async () => {
    const calling = (...calls: object[]): object => ({ role: 'assistant', tool_calls: calls })
    const call = (name: string, id?: string): object => ({ ...(id && { id }), function: { name, arguments: {} } })
    const messages = [
      calling(call('weather'), call('news'), call('weather')),
      ...[
        { role: 'tool', tool_name: 'weather' },
        { role: 'tool', tool_name: 'weather' }
      ],
      ...[{ role: 'tool' }, { role: 'tool', tool_name: 'other' }],
      calling(call('news', 'mine'), call('news')),
      ...[
        { role: 'tool', tool_call_id: 'mine' },
        { role: 'tool', tool_name: 'news' }
      ]
    ]
    await bench.post('/api/chat', { model: 'toy', messages, tools, stream: false })
    const ids = bench.asked?.messages?.map(message =>
      message.role === 'assistant' ? message.toolCalls?.map(({ id }) => id) : 'toolCall' in message && message.toolCall
    )
    expect(ids).toEqual([
      ...[['call_0_0', 'call_0_1', 'call_0_2'], 'call_0_0', 'call_0_2', 'call_0_1', 'other'],
      ...[['mine', 'call_1_1'], 'mine', 'call_1_1']
    ])
  })

  it('may be any JSON, or a schema', async () => {
    const schema = { type: 'object', properties: { a: { type: 'string' } } }
    for (const [path, body] of [
      ['/api/chat', { messages: HI }],
      ['/api/generate', { prompt: 'hi' }]
    ] as const) {
      await bench.post(path, { model: 'toy', ...body, format: 'json', stream: false })
      expect(bench.asked?.format).toEqual({ schema: { type: 'object' } })
      await bench.post(path, { model: 'toy', ...body, format: schema, stream: false })
      expect(bench.asked?.format).toEqual({ schema })
    }
  })
})
