import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import type { GenerateEvent, RouteStageView } from '../../../node/control/contract.js'
import { MAX_INPUTS } from '../../../node/gateway/constants.js'
import { Gateway } from '../../../node/gateway/server.js'
import type { EmbedEvent, EmbedRequest } from '../../../node/pipeline/embedding-types.js'
import { PipelineError } from '../../../node/pipeline/errors.js'

const STAGE: RouteStageView = { peer: 'p', name: 'one', start: 0, end: 4, local: true, link: 'origin' }
const VECTOR = Float32Array.of(0.1, -0.25, 0.5)
const logger = { info: vi.fn(), warn: vi.fn(), error: vi.fn(), debug: vi.fn() }

/** What it was asked last. */
let asked: EmbedRequest | undefined

/** The same vector for each input; fails where the model says so. Begins again once, as for want of f32. */
async function* embed(request: EmbedRequest): AsyncGenerator<EmbedEvent> {
  asked = request
  await Promise.resolve()
  if (request.model === 'chat') throw new PipelineError('NO_EMBEDDINGS', 'chat is not made for embeddings')
  yield { event: 'route', stages: [], promptTokens: 7, cachedTokens: 0 }
  yield { event: 'route', stages: [STAGE], promptTokens: 7, cachedTokens: 0 }
  if (request.model === 'lost') throw new PipelineError('STAGE_LOST', 'gone')
  yield { event: 'vectors', vectors: request.input.map(() => VECTOR) }
}

const generate = (): AsyncGenerator<GenerateEvent> => {
  throw new Error('nobody asks')
}
const gateway = new Gateway(
  { service: { generate, embed, models: () => Promise.resolve([]) }, logger },
  { listen: { host: '127.0.0.1', port: 0 }, origins: [] }
)

beforeAll(async () => gateway.start())
afterAll(async () => gateway.stop())
beforeEach(() => (asked = undefined))

async function post(body: object): Promise<[number, unknown]> {
  const response = await fetch(`${gateway.url}/v1/embeddings`, {
    ...{ method: 'POST', headers: { 'content-type': 'application/json' } },
    body: JSON.stringify({ model: 'toy', ...body })
  })
  return [response.status, await response.json()]
}

describe('POST /v1/embeddings', () => {
  it('has a list of numbers for each input, the usage, and the route that counts', async () => {
    const embedding = Array.from(VECTOR)
    expect(await post({ input: ['a', 'b'] })).toEqual([
      200,
      {
        object: 'list',
        data: [
          { object: 'embedding', index: 0, embedding },
          { object: 'embedding', index: 1, embedding }
        ],
        model: 'toy',
        usage: { prompt_tokens: 7, total_tokens: 7 },
        flambeau: { route: [STAGE] }
      }
    ])
  })

  it('has the same numbers as base64 of float32, little endian', async () => {
    const [, body] = await post({ input: 'a', encoding_format: 'base64' })
    const { data } = body as { data: { embedding: string }[] }
    const bytes = Buffer.from(data[0]?.embedding ?? '', 'base64')
    expect([0, 4, 8].map(at => bytes.readFloatLE(at))).toEqual(Array.from(VECTOR))
    expect(bytes).toHaveLength(12)
  })

  it.each([
    ['a text', 'a', ['a']],
    ['texts', ['a', 'b'], ['a', 'b']],
    ['token ids', [1, 2], [[1, 2]]],
    ['lists of token ids', [[1, 2], [3]], [[1, 2], [3]]]
  ])('takes %s', async (_what, input, inputs) => {
    expect((await post({ input }))[0]).toBe(200)
    expect(asked).toEqual({ model: 'toy', input: inputs })
  })

  it('asks for what the other fields say', async () => {
    const flambeau = { dtype: 'f32', wait: 3 }
    await post({ input: 'a', dimensions: 2, user: 'me', encoding_format: null, flambeau })
    expect(asked).toEqual({ model: 'toy', input: ['a'], dimensions: 2, dtype: 'f32', wait: 3 })
  })

  const wrong: [string, object, string][] = [
    ['no input', {}, 'input'],
    ['an empty text', { input: '' }, 'input'],
    ['an empty list', { input: [] }, 'input'],
    ['an empty text among others', { input: ['a', ''] }, 'input'],
    ['no tokens', { input: [[1], []] }, 'input'],
    ['texts and tokens', { input: ['a', 1] }, 'input'],
    ['half a token', { input: [0.5] }, 'input'],
    ['a negative token', { input: [[-1]] }, 'input'],
    ['an object', { input: { text: 'a' } }, 'input'],
    ['too many texts', { input: Array<string>(MAX_INPUTS + 1).fill('a') }, 'input'],
    ['no dimensions', { input: 'a', dimensions: 0 }, 'dimensions'],
    ['an unknown encoding', { input: 'a', encoding_format: 'int8' }, 'encoding_format']
  ]
  it.each(wrong)('refuses %s', async (_what, body, param) => {
    const [status, { error }] = (await post(body)) as [number, { error: object }]
    expect([status, error]).toMatchObject([400, { type: 'invalid_request_error', code: 'bad_request', param }])
    expect(asked).toBeUndefined()
  })

  it('refuses other fields by name', async () => {
    expect(await post({ input: 'a', truncate: true })).toMatchObject([
      400,
      { error: { code: 'unsupported_parameter', param: 'truncate' } }
    ])
  })

  it('says what the request fails with, at the beginning or later', async () => {
    expect(await post({ input: 'a', model: 'chat' })).toMatchObject([400, { error: { code: 'no_embeddings' } }])
    expect(await post({ input: 'a', model: 'lost' })).toMatchObject([503, { error: { code: 'stage_lost' } }])
  })
})
