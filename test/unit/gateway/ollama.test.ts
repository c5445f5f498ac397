import { once } from 'node:events'
import { request } from 'node:http'
import fc from 'fast-check'
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import type { GenerateEvent, GenerateRequest, ModelView } from '../../../node/control/contract.js'
import { HEARTBEAT_MS } from '../../../node/gateway/constants.js'
import { NAMES_MS } from '../../../node/gateway/ollama/names.js'
import { Gateway } from '../../../node/gateway/server.js'
import { PipelineError } from '../../../node/pipeline/errors.js'
import { VERSION } from '../../../node/version.js'
import { embed } from './no-embeddings.js'

const HI = [{ role: 'user', content: 'hi' }]
const STAGE = {
  peer: 'p',
  name: 'one',
  start: 0,
  end: 4,
  local: true,
  link: 'origin',
  computeMs: 1,
  queuedMs: 0
} as const
const STATS = {
  ...{ promptTokens: 2, generatedTokens: 3, firstTokenMs: 9, promptMs: 1.5, decodeMs: 2, tokensPerSecond: 1 },
  ...{ stages: [STAGE], networkMs: 0, seed: 1, recoveries: 1 }
}
const logger = { info: vi.fn(), warn: vi.fn(), error: vi.fn(), debug: vi.fn() }

/** What the swarm offers, and how often that was asked. */
let offered: ModelView[] = []
const models = vi.fn(() => Promise.resolve(offered))
/** What the origin was asked last. */
let asked: GenerateRequest | undefined

/** Lets a slow answer go on. */
const slow = Promise.withResolvers<undefined>()

/** Says what the prompt says, in two parts, and fails where that names an error. */
async function* generate(wanted: GenerateRequest): AsyncGenerator<GenerateEvent> {
  asked = wanted
  const text = wanted.messages?.at(-1)?.content ?? wanted.prompt ?? ''
  await Promise.resolve()
  if (text === 'fail at once') throw new PipelineError('STAGE_LOST', 'gone')
  yield { event: 'route', stages: [], promptTokens: 2 }
  yield { event: 'text', text: text.slice(0, 1), tokens: [1] }
  yield { event: 'reroute', stages: [], lost: [], replayed: 3, elapsedMs: 4 }
  if (text === 'fail later') throw new PipelineError('STAGE_LOST', 'gone')
  if (text === 'be slow') await slow.promise
  yield { event: 'text', text: text.slice(1), tokens: [2] }
  if (wanted.tools !== undefined) yield { event: 'tool-call', name: 'weather', arguments: '{"city":"Ulm"}' }
  yield { event: 'text', text: '', tokens: [3] }
  yield { event: 'done', reason: text === 'too long' ? 'context' : 'stop-string', stats: STATS }
}

const gateway = new Gateway(
  { service: { generate, embed, models }, logger },
  { listen: { host: '127.0.0.1', port: 0 }, origins: ['https://chat.example.org'] }
)

beforeAll(async () => gateway.start())
afterAll(async () => gateway.stop())
beforeEach(() => {
  offered = [model('toy'), model('odd:latest'), model('twin'), model('twin:latest')]
})

function model(name: string, missing: ModelView['missing'] = []): ModelView {
  const manifest = Buffer.from(name).toString('hex').padEnd(64, '0')
  const complete = missing.length === 0
  return { name, manifest, architecture: 'qwen3', layers: 8, cuts: [], complete, missing, holders: [] }
}

async function post(path: string, body: unknown, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(`${gateway.url}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: typeof body === 'string' ? body : JSON.stringify(body)
  })
}

/** The body of an answer in one piece. */
async function answer(path: string, body: object): Promise<unknown> {
  return (await post(path, { model: 'toy', stream: false, ...body })).json()
}

/** The lines of a stream. */
async function parts(path: string, body: object): Promise<Record<string, unknown>[]> {
  const response = await post(path, { model: 'toy', ...body })
  expect(response.headers.get('content-type')).toBe('application/x-ndjson')
  const text = await response.text()
  expect(text.endsWith('\n')).toBe(true)
  return text
    .trimEnd()
    .split('\n')
    .map(line => JSON.parse(line) as Record<string, unknown>)
}

/** The status of a refusal, and what it says. */
async function refusal(path: string, body: unknown, headers?: Record<string, string>): Promise<[number, unknown]> {
  const response = await post(path, body, headers)
  const { error, ...more } = (await response.json()) as { error: unknown }
  expect(more).toEqual({})
  return [response.status, error]
}

const saying = (text: string): object => ({ model: 'toy', messages: [{ role: 'user', content: text }] })
const mentioning = (text: string): string => expect.stringContaining(text) as string
const time = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/) as string

describe("an answer in Ollama's form", () => {
  it('is a stream of lines unless the client says otherwise, and ends with what it took', async () => {
    const [one, two, last, ...more] = await parts('/api/chat', { messages: HI })
    const facts = { model: 'toy', created_at: time }
    expect(one).toEqual({ ...facts, message: { role: 'assistant', content: 'h' }, done: false })
    expect(two).toEqual({ ...facts, message: { role: 'assistant', content: 'i' }, done: false })
    expect(last).toEqual({
      ...{ ...facts, message: { role: 'assistant', content: '' }, done: true, done_reason: 'stop' },
      ...{ total_duration: expect.any(Number) as number, load_duration: 0, prompt_eval_count: 2 },
      ...{ prompt_eval_duration: 1_500_000, eval_count: 3, eval_duration: 2_000_000 },
      flambeau: expect.objectContaining({
        route: [{ peer: 'p', name: 'one', start: 0, end: 4, local: true, link: 'origin', compute_ms: 1, queued_ms: 0 }],
        recoveries: [{ lost: [], replayed: 3, elapsed_ms: 4 }]
      }) as object
    })
    expect(more).toEqual([])
    expect(await parts('/api/generate', { prompt: 'ab' })).toMatchObject([
      { response: 'a', done: false },
      { response: 'b', done: false },
      { response: '', done: true, done_reason: 'stop' }
    ])
  })

  it('is one object where no stream is wanted', async () => {
    expect(await answer('/api/chat', { messages: HI })).toMatchObject({
      ...{ model: 'toy', message: { role: 'assistant', content: 'hi' }, done: true, done_reason: 'stop', eval_count: 3 }
    })
    expect(await answer('/api/generate', { prompt: 'too long' })).toMatchObject({
      ...{ response: 'too long', done: true, done_reason: 'length' }
    })
  })

  it('says nothing in so many words while there is nothing to say: proxies close a silent stream', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
    try {
      const response = await post('/api/chat', saying('be slow'))
      const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader()
      expect((await reader?.read())?.value).toContain('"content":"b"')
      vi.advanceTimersByTime(HEARTBEAT_MS)
      expect(JSON.parse((await reader?.read())?.value ?? '')).toEqual({
        ...{ model: 'toy', created_at: time, message: { role: 'assistant', content: '' }, done: false }
      })
      slow.resolve(undefined)
      expect((await reader?.read())?.value).toContain('"content":"e slow"')
    } finally {
      vi.useRealTimers()
    }
  })

  it('is told apart from one that nobody asked for: clients load a model like that', async () => {
    asked = undefined
    const empty = { model: 'toy:latest', created_at: time, done: true, done_reason: 'load' }
    const noMessage = { ...empty, message: { role: 'assistant', content: '' } }
    expect(await answer('/api/generate', { model: 'toy:latest' })).toEqual({ ...empty, response: '' })
    expect(await answer('/api/generate', { model: 'toy:latest', prompt: '', keep_alive: 0, stream: true })).toEqual({
      ...{ ...empty, response: '' }
    })
    expect(await answer('/api/chat', { model: 'toy:latest', messages: [] })).toEqual(noMessage)
    expect(await answer('/api/chat', { model: 'toy:latest' })).toEqual(noMessage)
    expect(asked).toBeUndefined()
    offered = [model('toy', [{ start: 2, end: 4 }])]
    expect(await refusal('/api/generate', { model: 'toy' })).toEqual([
      503,
      mentioning('Nobody serves layers 2-4 of toy')
    ])
    expect(await refusal('/api/chat', { model: 'nobody', messages: [] })).toEqual([404, mentioning('"nobody"')])
  })
})

describe('what the origin is asked', () => {
  it('is what the options say', async () => {
    await answer('/api/chat', {
      messages: [{ role: 'system', content: 'be brief' }, ...HI],
      options: {
        ...{ temperature: 0.5, top_k: 0, top_p: 0.9, min_p: 0, repeat_penalty: 1.1, presence_penalty: 1 },
        ...{ frequency_penalty: -1, seed: 5, stop: ['x'], num_predict: 9 }
      }
    })
    expect(asked).toEqual({
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
      await answer('/api/chat', { messages: HI, options })
      expect(asked).toEqual({ model: 'toy', messages: HI, sampling: {} })
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
    await answer('/api/chat', { ...nothing, messages: HI.map(one => ({ ...one, ...silent })), options })
    expect(asked).toEqual({ model: 'toy', messages: HI, sampling: {} })
    await answer('/api/generate', {
      ...nothing,
      prompt: 'hi',
      images: [],
      suffix: '',
      template: '',
      context: [],
      system: ''
    })
    expect(asked).toEqual({ model: 'toy', messages: HI, sampling: {} })
  })

  it('is a conversation of a prompt, or the prompt as it is', async () => {
    await answer('/api/generate', { prompt: 'hi', system: 'be brief' })
    expect(asked).toMatchObject({ messages: [{ role: 'system', content: 'be brief' }, ...HI] })
    await answer('/api/generate', { prompt: 'hi', raw: true })
    expect(asked).toEqual({ model: 'toy', prompt: 'hi', raw: true, sampling: {} })
  })
})

describe('a model', () => {
  it('is listed by the name that clients look for, and shown', async () => {
    const details = { format: 'gguf', family: 'qwen3', families: ['qwen3'], parameter_size: '', quantization_level: '' }
    const { models: listed } = (await (await fetch(`${gateway.url}/api/tags`)).json()) as { models: object[] }
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
      expect(await (await post('/api/show', { ...wanted, verbose: true, system: '' })).json()).toMatchObject({
        ...{ details, model_info: { 'general.architecture': 'qwen3' }, capabilities: ['completion'], template: '' },
        flambeau: { manifest: model('toy').manifest, complete: true }
      })
    }
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
    expect(await answer('/api/chat', { model: wanted, messages: HI })).toMatchObject({ model: wanted })
    expect(asked).toMatchObject({ model: found })
  })

  it('is not looked for in the whole swarm with every answer, and found although it is new', async () => {
    await answer('/api/chat', { model: 'toy:latest', messages: HI })
    models.mockClear()
    await answer('/api/chat', { model: 'toy:latest', messages: HI })
    await answer('/api/chat', { model: 'toy', messages: HI })
    expect(models).not.toHaveBeenCalled()
    offered = [model('new:latest')]
    await answer('/api/chat', { model: 'new:latest', messages: HI })
    expect(asked).toMatchObject({ model: 'new:latest' })
    expect(models).toHaveBeenCalledOnce()
    const now = performance.now()
    const clock = vi.spyOn(performance, 'now').mockReturnValue(now + NAMES_MS + 1)
    try {
      await answer('/api/chat', { model: 'new:latest', messages: HI })
    } finally {
      clock.mockRestore()
    }
    expect(models).toHaveBeenCalledTimes(2)
  })
})

describe("a failure in Ollama's form", () => {
  it('has its status until the answer has begun, and is the last line afterwards', async () => {
    for (const stream of [false, true]) {
      const response = await post('/api/chat', { ...saying('fail at once'), stream })
      expect(Number(response.headers.get('retry-after'))).toBeGreaterThan(0)
      expect([response.status, await response.json()]).toEqual([503, { error: 'gone' }])
    }
    expect(await parts('/api/chat', saying('fail later'))).toMatchObject([{ done: false }, { error: 'gone' }])
    expect(await refusal('/api/chat', { ...saying('fail later'), stream: false })).toEqual([503, 'gone'])
  })

  it.each([
    ['/api/chat', { messages: HI, tools: [{ type: 'function' }] }, '`tools.0.function` is not understood'],
    ['/api/chat', { messages: HI, format: 'xml' }, '`format` is not understood: must be json or a schema'],
    ['/api/chat', { messages: HI, think: true }, '`think` is not supported'],
    ['/api/chat', { messages: HI, invented: 1 }, '`invented` is not supported'],
    ['/api/chat', { messages: [{ ...HI[0], images: ['aGk='] }] }, '`messages.0.images` is not supported'],
    [
      '/api/chat',
      { messages: [{ role: 'judge', content: '' }] },
      '`messages.0.role` is not understood: must be system'
    ],
    ['/api/chat', { messages: HI, options: { mirostat: 2 } }, '`options.mirostat` is not understood: only 0'],
    ['/api/chat', { messages: HI, options: { repeat_last_n: -1 } }, '`options.repeat_last_n` is not understood'],
    ['/api/chat', { messages: HI, options: { vocab_only: true } }, '`options.vocab_only` is not supported'],
    ['/api/chat', { messages: HI, options: { num_predict: 0 } }, '`options.num_predict` is not understood'],
    ['/api/chat', { messages: HI, options: { temprature: 0 } }, '`options.temprature` is not supported'],
    ['/api/generate', { prompt: 'hi', suffix: 'x' }, '`suffix` is not supported'],
    ['/api/generate', { prompt: 'hi', context: [1] }, '`context` is not supported'],
    ['/api/generate', { prompt: 'hi', template: 'x' }, '`template` is not supported'],
    ['/api/generate', { prompt: 'hi', system: 'x', raw: true }, '`system` and `raw` do not go together'],
    ['/api/show', { model: undefined }, '`model` is missing'],
    ['/api/show', { system: 'x' }, '`system` is not supported']
  ])('names what is wrong in %s %j', async (path, body, message) => {
    expect(await refusal(path, { model: 'toy', ...body })).toEqual([400, mentioning(message)])
  })

  it('is that of every refusal below /api, and of no other', async () => {
    expect(await refusal('/api/pull', { model: 'toy' })).toEqual([404, mentioning('There is no POST /api/pull here')])
    expect(await refusal('/api/chat', '{"model": ')).toEqual([400, mentioning('JSON')])
    expect(await refusal('/api/chat', saying('hi'), { 'content-type': 'text/plain' })).toEqual([
      415,
      expect.any(String)
    ])
    expect(await refusal('/api/chat', saying('hi'), { origin: 'https://evil.example' })).toEqual([
      ...[403, mentioning('evil.example')]
    ])
    const { error } = (await (await post('/v1/pull', {})).json()) as { error: unknown }
    expect(error).toMatchObject({ code: 'unknown_path' })
  })
})

it('a name that was made to point here is of no use, and a page that the owner allows may use it', async () => {
  const asking = request(`${gateway.url}/api/tags`, { headers: { host: 'evil.example' } }).end()
  const [response] = (await once(asking, 'response')) as [{ statusCode: number; resume: () => void }]
  response.resume()
  expect(response.statusCode).toBe(403)
  const origin = 'https://chat.example.org'
  const preflight = { method: 'OPTIONS', headers: { origin, 'access-control-request-headers': 'content-type' } }
  const { status, headers } = await fetch(`${gateway.url}/api/chat`, preflight)
  expect([status, headers.get('access-control-allow-origin')]).toEqual([204, origin])
  const answered = await post('/api/chat', saying('hi'), { origin })
  expect([answered.status, answered.headers.get('access-control-allow-origin')]).toEqual([200, origin])
  await answered.text()
})

it('the version is that of Flambeau', async () => {
  expect(await (await fetch(`${gateway.url}/api/version`)).json()).toEqual({ version: VERSION })
})

it('whatever comes has a status of its own, and an error in words', async () => {
  const options = fc.oneof(
    fc.anything(),
    fc.record({ temperature: fc.anything(), stop: fc.anything(), seed: fc.anything(), num_predict: fc.anything() })
  )
  const nearly = fc.record(
    {
      model: fc.oneof(fc.constantFrom('toy', 'toy:latest', ':latest'), fc.anything()),
      messages: fc.oneof(
        fc.array(fc.record({ role: fc.constantFrom('user', 'tool'), content: fc.anything(), images: fc.anything() })),
        fc.anything()
      ),
      ...{ prompt: fc.anything(), stream: fc.anything(), think: fc.anything(), options }
    },
    { requiredKeys: [] }
  )
  const bodies = fc.oneof(
    fc.json({ maxDepth: 4 }),
    fc.string(),
    nearly.map(value => JSON.stringify(value))
  )
  await fc.assert(
    fc.asyncProperty(fc.constantFrom('/api/chat', '/api/generate', '/api/show'), bodies, async (path, body) => {
      const response = await post(path, body)
      const text = await response.text()
      expect(response.status === 200 || (response.status >= 400 && response.status < 500)).toBe(true)
      if (response.status !== 200) expect(JSON.parse(text)).toEqual({ error: expect.any(String) as string })
    }),
    { numRuns: 300 }
  )
  expect((await post('/api/chat', saying('hi'))).status).toBe(200)
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
    const whole = (await (await post('/api/chat', { ...body, stream: false })).json()) as object
    expect(asked?.tools).toEqual([{ name: 'weather', description: 'of a city', parameters: {} }])
    expect(asked?.messages).toEqual([
      { role: 'assistant', content: '', toolCalls: [{ id: 'call_0', name: 'weather', arguments: '{"city":"Ulm"}' }] },
      { role: 'tool', content: 'warm', toolCall: 'weather' }
    ])
    const calls = [{ function: { name: 'weather', arguments: city } }]
    expect(whole).toMatchObject({ message: { content: 'warm', tool_calls: calls }, done: true })
    const lines = (await (await post('/api/chat', body)).text()).trim().split('\n')
    const parts = lines.map(line => JSON.parse(line) as { message: { tool_calls?: object[] }; done: boolean })
    expect(parts.flatMap(({ message }) => message.tool_calls ?? [])).toEqual(calls)
    expect(parts.at(-1)?.done).toBe(true)
  })

  it('may be any JSON, or a schema', async () => {
    const schema = { type: 'object', properties: { a: { type: 'string' } } }
    for (const [path, body] of [
      ['/api/chat', { messages: HI }],
      ['/api/generate', { prompt: 'hi' }]
    ] as const) {
      await post(path, { model: 'toy', ...body, format: 'json', stream: false })
      expect(asked?.format).toEqual({ schema: { type: 'object' } })
      await post(path, { model: 'toy', ...body, format: schema, stream: false })
      expect(asked?.format).toEqual({ schema })
    }
  })
})
