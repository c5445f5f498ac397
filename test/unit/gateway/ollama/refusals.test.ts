import { once } from 'node:events'
import { request } from 'node:http'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { HI, mentioning, OllamaBench, saying } from './bench.js'

const bench = new OllamaBench()

describe("a failure in Ollama's form", () => {
  it('has its status until the answer has begun, and is the last line afterwards', async () => {
    for (const stream of [false, true]) {
      const response = await bench.post('/api/chat', { ...saying('fail at once'), stream })
      expect(Number(response.headers.get('retry-after'))).toBeGreaterThan(0)
      expect([response.status, await response.json()]).toEqual([503, { error: 'gone' }])
    }
    expect(await bench.parts('/api/chat', saying('fail later'))).toMatchObject([{ done: false }, { error: 'gone' }])
    expect(await bench.refusal('/api/chat', { ...saying('fail later'), stream: false })).toEqual([503, 'gone'])
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
    expect(await bench.refusal(path, { model: 'toy', ...body })).toEqual([400, mentioning(message)])
  })

  it('is that of every refusal below /api, and of no other', async () => {
    expect(await bench.refusal('/api/pull', { model: 'toy' })).toEqual([
      404,
      mentioning('There is no POST /api/pull here')
    ])
    expect(await bench.refusal('/api/chat', '{"model": ')).toEqual([400, mentioning('JSON')])
    expect(await bench.refusal('/api/chat', saying('hi'), { 'content-type': 'text/plain' })).toEqual([
      415,
      expect.any(String)
    ])
    expect(await bench.refusal('/api/chat', saying('hi'), { origin: 'https://evil.example' })).toEqual([
      ...[403, mentioning('evil.example')]
    ])
    const { error } = (await (await bench.post('/v1/pull', {})).json()) as { error: unknown }
    expect(error).toMatchObject({ code: 'unknown_path' })
  })
})

it('a name that was made to point here is of no use, and a page that the owner allows may use it', async () => {
  const asking = request(`${bench.url}/api/tags`, { headers: { host: 'evil.example' } }).end()
  const [response] = (await once(asking, 'response')) as [{ statusCode: number; resume: () => void }]
  response.resume()
  expect(response.statusCode).toBe(403)
  const origin = 'https://chat.example.org'
  const preflight = { method: 'OPTIONS', headers: { origin, 'access-control-request-headers': 'content-type' } }
  const { status, headers } = await fetch(`${bench.url}/api/chat`, preflight)
  expect([status, headers.get('access-control-allow-origin')]).toEqual([204, origin])
  const answered = await bench.post('/api/chat', saying('hi'), { origin })
  expect([answered.status, answered.headers.get('access-control-allow-origin')]).toEqual([200, origin])
  await answered.text()
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
      const response = await bench.post(path, body)
      const text = await response.text()
      expect(response.status === 200 || (response.status >= 400 && response.status < 500)).toBe(true)
      if (response.status !== 200) expect(JSON.parse(text)).toEqual({ error: expect.any(String) as string })
    }),
    { numRuns: 300 }
  )
  expect((await bench.post('/api/chat', saying('hi'))).status).toBe(200)
})
