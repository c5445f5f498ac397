import { once } from 'node:events'
import { connect } from 'node:net'
import { request } from 'node:http'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import type { GenerateEvent, GenerateRequest } from '../../../node/control/contract.js'
import { MAX_BODY_BYTES } from '../../../node/gateway/constants.js'
import { Gateway } from '../../../node/gateway/server.js'
import { PipelineError } from '../../../node/pipeline/errors.js'
import { embed } from './no-embeddings.js'

const CHAT = { model: 'toy', messages: [{ role: 'user', content: 'hi' }] }
const STATS = {
  ...{
    promptTokens: 2,
    cachedTokens: 0,
    generatedTokens: 1,
    firstTokenMs: 1,
    promptMs: 1,
    decodeMs: 1,
    tokensPerSecond: 1
  },
  ...{ stages: [], networkMs: 0, seed: 1, recoveries: 0 }
}
const logger = { info: vi.fn(), warn: vi.fn(), error: vi.fn(), debug: vi.fn() }

/** What it was asked last. */
let asked: GenerateRequest | undefined

/** Says what the prompt says, and fails where that names an error. */
async function* generate(
  request: GenerateRequest,
  { signal }: { signal?: AbortSignal } = {}
): AsyncGenerator<GenerateEvent> {
  asked = request
  const text = request.messages?.at(-1)?.content ?? request.prompt ?? ''
  await Promise.resolve()
  if (text === 'wait' && signal !== undefined) await once(signal, 'abort')
  if (text === 'fail at once') throw new PipelineError('INCOMPLETE_MODEL', 'Nobody serves layers 2-4.')
  if (text === 'fail badly') throw new TypeError('/home/me/secret')
  yield { event: 'route', stages: [], promptTokens: 2, cachedTokens: 0 }
  yield { event: 'text', text, tokens: [1] }
  if (text === 'fail later') throw new PipelineError('STAGE_LOST', 'gone')
  for (const { name } of request.tools ?? []) yield { event: 'tool-call', name, arguments: '{}' }
  yield { event: 'done', reason: 'stop', stats: STATS }
}

const gateway = new Gateway(
  { service: { generate, embed, models: () => Promise.resolve([]) }, logger },
  { listen: { host: '127.0.0.1', port: 0 }, origins: ['https://chat.example.org'] }
)

beforeAll(async () => gateway.start())
afterAll(async () => gateway.stop())

async function post(path: string, body: unknown, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(`${gateway.url}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: typeof body === 'string' ? body : JSON.stringify(body)
  })
}

const codeOf = async (response: Response): Promise<[number, string]> => {
  const { error } = (await response.json()) as { error: { code: string } }
  return [response.status, error.code]
}

const saying = (content: string): object => ({ ...CHAT, messages: [{ role: 'user', content }] })

/** What the server answers to bytes that may be no request at all. */
async function rawly(text: string): Promise<string> {
  const socket = connect(Number(new URL(gateway.url ?? '').port), '127.0.0.1')
  let answer = ''
  socket.setEncoding('utf8').on('data', (part: string) => (answer += part))
  socket.end(text)
  await once(socket, 'close')
  return answer
}

describe('the gateway', () => {
  it('says in its own status what fails before the first token, and when to try again', async () => {
    for (const stream of [false, true]) {
      const response = await post('/v1/chat/completions', { ...saying('fail at once'), stream })
      expect(Number(response.headers.get('retry-after'))).toBeGreaterThan(0)
      expect(await codeOf(response)).toEqual([503, 'incomplete_model'])
    }
  })

  it('ends a stream with what fails later, and keeps to itself what nobody foresaw', async () => {
    const lines = (await (await post('/v1/chat/completions', { ...saying('fail later'), stream: true })).text()).trim()
    expect(lines.split('\n\n').at(-1)).toMatch(/^data: \{"error":\{"message":"gone",.*"code":"stage_lost"/)
    const response = await post('/v1/completions', { model: 'toy', prompt: 'fail badly' })
    const body = await response.text()
    expect([response.status, body.includes('secret')]).toEqual([500, false])
    expect(logger.error).toHaveBeenCalledOnce()
  })

  it('asks the origin for what the fields say', async () => {
    const response = await post('/v1/chat/completions', {
      ...{ ...CHAT, temperature: 0.5, top_p: 0.9, top_k: 0, min_p: 0, repeat_penalty: 1.1, seed: 5, stop: 'x' },
      ...{ presence_penalty: 1, frequency_penalty: -1, logit_bias: { 7: 3 }, max_completion_tokens: 9, user: 'me' },
      ...{ logprobs: true, n: null, flambeau: { wait: 5, dtype: 'f32', replay: 'exact' } },
      messages: [
        { role: 'developer', content: 'be brief' },
        {
          role: 'user',
          content: [
            { type: 'text', text: 'a' },
            { type: 'text', text: 'b' }
          ]
        }
      ]
    })
    expect(response.status).toBe(200)
    expect(asked).toEqual({
      model: 'toy',
      messages: [
        { role: 'system', content: 'be brief' },
        { role: 'user', content: 'ab' }
      ],
      sampling: {
        ...{ temperature: 0.5, topP: 0.9, topK: 0, minP: 0, repeatPenalty: 1.1, seed: 5, stop: ['x'], maxTokens: 9 },
        ...{ presencePenalty: 1, frequencyPenalty: -1, logitBias: { 7: 3 }, logprobs: 0 }
      },
      ...{ wait: 5, dtype: 'f32', replay: 'exact' }
    })
  })

  it('asks for tools, and tells the calls of a stream whole', async () => {
    const tools = ['a', 'b'].map(name => ({ type: 'function', function: { name, strict: true, parameters: { x: 1 } } }))
    const call = { id: 'c1', type: 'function', function: { name: 'a', arguments: '{}' } }
    const messages = [
      ...CHAT.messages,
      { role: 'assistant', content: null, tool_calls: [call], refusal: null, annotations: [] },
      { role: 'tool', tool_call_id: 'c1', content: 'done' }
    ]
    const body = { ...CHAT, messages, tools, tool_choice: { type: 'function', function: { name: 'b' } } }
    const { choices } = (await (await post('/v1/chat/completions', body)).json()) as { choices: object[] }
    expect(asked).toMatchObject({
      tools: [{ name: 'a', parameters: { x: 1 } }, { name: 'b' }],
      toolChoice: { name: 'b' }
    })
    expect(asked?.messages).toEqual([
      { role: 'user', content: 'hi' },
      { role: 'assistant', content: '', toolCalls: [{ id: 'c1', name: 'a', arguments: '{}' }] },
      { role: 'tool', content: 'done', toolCall: 'c1' }
    ])
    const called = (name: string): object => ({ id: expect.stringMatching(/^call_/) as string, function: { name } })
    expect(choices).toMatchObject([{ message: { content: 'done', tool_calls: [called('a'), called('b')] } }])
    const alone = { ...body, tool_choice: 'auto', parallel_tool_calls: false, stream: true }
    const stream = await (await post('/v1/chat/completions', alone)).text()
    expect(stream.match(/"tool_calls":\[\{"index":0/g)).toHaveLength(1)
    expect(stream).not.toContain('"index":1,"id"')
    const wrong = [
      { tools: [], tool_choice: 'required' },
      { tool_choice: { type: 'function', function: { name: 'c' } } },
      { response_format: { type: 'json_object' } }
    ]
    for (const changes of wrong) {
      expect(await codeOf(await post('/v1/chat/completions', { ...body, tool_choice: 'auto', ...changes }))).toEqual([
        ...[400, 'bad_request']
      ])
    }
  })

  it('refuses what is not for it', async () => {
    expect(await codeOf(await post('/v1/nothing', {}))).toEqual([404, 'unknown_path'])
    expect(await codeOf(await post('/v1/chat/completions', '{"model": '))).toEqual([400, 'bad_request'])
    expect(await codeOf(await post('/v1/chat/completions', []))).toEqual([400, 'bad_request'])
    expect(await codeOf(await post('/v1/chat/completions', { ...CHAT, stream: 'yes' }))).toEqual([400, 'bad_request'])
    expect(await codeOf(await post('/v1/chat/completions', CHAT, { 'content-type': 'text/plain' }))).toEqual([
      ...[415, 'bad_request']
    ])
    expect(await codeOf(await post('/v1/chat/completions', ' '.repeat(MAX_BODY_BYTES + 1)))).toEqual([
      ...[413, 'bad_request']
    ])
    expect(await codeOf(await post('/v1/completions', { model: 'toy', prompt: ['a', 'b', 'c'], n: 3 }))).toEqual([
      ...[400, 'bad_request']
    ])
  })

  it('is not fooled by a name that was made to point here', async () => {
    const asking = request(`${gateway.url}/v1/models`, { headers: { host: 'evil.example' } }).end()
    const [response] = (await once(asking, 'response')) as [{ statusCode: number; resume: () => void }]
    response.resume()
    expect(response.statusCode).toBe(403)
  })

  it('tells the browser of a page that the owner allows that it may', async () => {
    const origin = 'https://chat.example.org'
    const preflight = { method: 'OPTIONS', headers: { origin, 'access-control-request-headers': 'content-type' } }
    const { status, headers } = await fetch(`${gateway.url}/v1/chat/completions`, preflight)
    expect([status, headers.get('access-control-allow-origin')]).toEqual([204, origin])
    expect(headers.get('access-control-allow-headers')).toBe('content-type')
    for (const stream of [false, true]) {
      const answer = await post('/v1/chat/completions', { ...CHAT, stream }, { origin })
      expect([answer.status, answer.headers.get('access-control-allow-origin')]).toEqual([200, origin])
      await answer.text()
    }
  })

  it('writes a line for each request, also of a client that went away, without what was asked', async () => {
    logger.info.mockClear()
    await (await post('/v1/chat/completions', saying('a secret'))).text()
    const abort = new AbortController()
    const options = { method: 'POST', body: JSON.stringify(saying('wait')), signal: abort.signal }
    const gone = fetch(`${gateway.url}/v1/chat/completions`, {
      ...{ ...options, headers: { 'content-type': 'application/json' } }
    })
    await vi.waitFor(() => expect(asked?.messages).toMatchObject([{ content: 'wait' }]))
    abort.abort()
    await expect(gone).rejects.toThrow()
    const line = { method: 'POST', path: '/v1/chat/completions', ms: expect.any(Number) as number }
    await vi.waitFor(() => expect(logger.info).toHaveBeenCalledTimes(2))
    expect(logger.info.mock.calls).toEqual([
      [{ ...line, status: 200 }, 'request'],
      [line, 'request']
    ])
  })

  it('answers whatever comes with a status of its own, and lives on', async () => {
    const json = fc.json({ maxDepth: 4 })
    const nearly = fc.record(
      {
        model: fc.oneof(fc.string(), fc.constant('toy'), fc.anything()),
        messages: fc.oneof(
          fc.array(fc.record({ role: fc.oneof(fc.constant('user'), fc.string()), content: fc.anything() })),
          fc.anything()
        ),
        stream: fc.anything(),
        stop: fc.anything(),
        logit_bias: fc.anything(),
        n: fc.oneof(fc.integer(), fc.anything())
      },
      { requiredKeys: [] }
    )
    const bodies = fc.oneof(
      json,
      fc.string(),
      nearly.map(value => JSON.stringify(value))
    )
    const paths = fc.constantFrom(
      '/v1/chat/completions',
      '/v1/completions',
      '/v1/models',
      '//',
      '/%00',
      '/v1/models/%FF'
    )
    await fc.assert(
      fc.asyncProperty(paths, bodies, async (path, body) => {
        const response = await post(path, body)
        expect(response.status === 200 || (response.status >= 400 && response.status < 500)).toBe(true)
        if (response.status !== 200) expect((await response.json()) as object).toHaveProperty('error.code')
        else await response.text()
      }),
      { numRuns: 300 }
    )
    expect((await post('/v1/chat/completions', CHAT)).status).toBe(200)
  })

  it('answers bytes that are no request, and headers without an end', async () => {
    expect(await rawly('\x16\x03\x01\x02\x00\x01')).toMatch(/^HTTP\/1\.1 400 /)
    expect(await rawly(`GET / HTTP/1.1\r\nhost: localhost\r\nx: ${'y'.repeat(20_000)}\r\n\r\n`)).toMatch(
      /^HTTP\/1\.1 431 /
    )
    expect(await rawly('GET / HTTP/1.1\r\n\r\n')).toMatch(/^HTTP\/1\.1 40[03] /)
  })
})

it('a gateway takes another port where the usual one is taken, unless its owner chose it', async () => {
  const service = { generate, embed, models: () => Promise.resolve([]) }
  const port = Number(new URL(gateway.url ?? '').port)
  const chosen = new Gateway({ service, logger }, { listen: { host: '127.0.0.1', port }, origins: [] })
  await expect(chosen.start()).rejects.toThrow(expect.objectContaining({ code: 'PORT_TAKEN' }))
  await chosen.stop()
  const none = new Gateway({ service, logger }, { listen: 'none', origins: [] })
  await none.start()
  expect(none.url).toBeUndefined()
  const first = new Gateway({ service, logger }, { listen: 'auto', origins: [] })
  const second = new Gateway({ service, logger }, { listen: 'auto', origins: [] })
  await first.start()
  await second.start()
  expect(new Set([first.url, second.url]).size).toBe(2)
  await first.stop()
  await second.stop()
})
