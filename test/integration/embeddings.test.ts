import { OpenAIEmbeddings } from '@langchain/openai'
import OpenAI from 'openai'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { EngineProcess } from '../../node/engine/engine.js'
import type { Tokenizer } from '../../node/engine/types.js'
import { chunkRows } from '../../node/pipeline/prompt.js'
import { magnitude, unitVector } from '../../node/pipeline/vector.js'
import { writeEmbeddingModel } from '../support/embedding-model.js'
import { type Mesh, startMesh } from '../support/mesh.js'
import { EMBER } from '../support/models.js'
import { temporaryFolder } from '../support/temporary.js'
import { engineAndTokenizer } from '../support/whole-model.js'

const GATEWAY = ['--gateway', '127.0.0.1:0']
const WIDTH = 192
const LAYERS = 8
const NODES = ['0-3', '3-6', '6-8']
const BATCH = 512
const FRANCE = 'What is the capital of France?'
const HENS = 'A hen lays eggs, and a cow gives milk. '.repeat(4)

const opened: AsyncDisposable[] = []
let mesh: Mesh
let url: string
let openai: OpenAI
let whole: { engine: EngineProcess; tokenizer: Tokenizer }

beforeAll(async () => {
  const folder = await temporaryFolder()
  opened.push({ [Symbol.asyncDispose]: () => folder.remove() })
  const [file, mean] = [folder.file('last.gguf'), folder.file('mean.gguf')]
  await writeEmbeddingModel(file)
  await writeEmbeddingModel(mean, 'mean')
  mesh = await startMesh({
    nodes: NODES.map((layers, i) => ({ layers, ...(i === 0 && { args: GATEWAY }) })),
    models: [
      { file, name: 'last' },
      { file: mean, name: 'mean' },
      { file: EMBER, name: 'ember' }
    ],
    context: 2048
  })
  opened.push(mesh)
  url = (await mesh.node(0).service.status()).gateway ?? ''
  openai = new OpenAI({ baseURL: `${url}/v1`, apiKey: 'none', maxRetries: 0 })
  const alone = await engineAndTokenizer(file)
  opened.push(alone)
  whole = alone
  const place = { file, architecture: 'llama', start: 0, end: LAYERS, layers: LAYERS }
  await alone.engine.load(place, { context: 1024, sequences: 1, batch: BATCH })
})

afterAll(async () => {
  for (const one of opened.reverse()) await one[Symbol.asyncDispose]()
})

/** By the whole model in one process, in steps of the shapes that the mesh has. */
async function expected(tokens: Uint32Array, dimensions = WIDTH): Promise<number[]> {
  let position = 0
  let embedding = new Float32Array(0)
  for (const rows of chunkRows(tokens.length, { from: 0, stages: NODES.length, rowsPerStep: BATCH })) {
    const end = position + rows
    const last = end === tokens.length
    const { candidates } = await whole.engine.step({
      ...{ shard: 1, sequence: 0, position, rows, tokens: tokens.slice(position, end), leave: LAYERS, dtype: 'f32' },
      want: { rows: last ? 1 : 0, candidates: 0, ids: [], logSumExp: false, ...(last && { embedding: true }) }
    })
    embedding = new Float32Array(candidates[0]?.embedding ?? embedding)
    position = end
  }
  return Array.from(unitVector(embedding, dimensions))
}

const tokensOf = async (text: string): Promise<Uint32Array> =>
  whole.tokenizer.tokenize(text, { addSpecial: true, special: false })

const cosine = (a: readonly number[], b: readonly number[]): number =>
  a.reduce((sum, value, i) => sum + value * (b[i] ?? NaN), 0)

async function refusal(body: Partial<OpenAI.EmbeddingCreateParams>): Promise<unknown> {
  try {
    await openai.embeddings.create({ model: 'last', input: FRANCE, ...body })
  } catch (error) {
    const { status, code, param } = error as InstanceType<typeof OpenAI.APIError>
    return [status, code, param]
  }
  return 'answered'
}

describe('embeddings over a mesh', () => {
  it('are those of the whole model, to the bit where hidden states travel as they are', async () => {
    const exact = { flambeau: { dtype: 'f32' } } as object
    const { data, usage } = await openai.embeddings.create({
      ...{ model: 'last', input: [FRANCE, HENS], encoding_format: 'float' },
      ...exact
    })
    const tokens = [await tokensOf(FRANCE), await tokensOf(HENS)]
    expect(data.map(({ index, embedding }) => [index, embedding])).toEqual([
      [0, await expected(tokens[0] ?? new Uint32Array(0))],
      [1, await expected(tokens[1] ?? new Uint32Array(0))]
    ])
    const total = tokens.reduce((sum, { length }) => sum + length, 0)
    expect(usage).toEqual({ prompt_tokens: total, total_tokens: total })
  })

  it('are nearly the same in f16, tell texts apart, and have length 1', async () => {
    const { data } = await openai.embeddings.create({ model: 'last', input: [FRANCE, HENS, FRANCE] })
    const [france, hens, again] = data.map(({ embedding }) => embedding)
    if (france === undefined || hens === undefined) throw new Error('no embeddings')
    expect(france).toEqual(again)
    expect(cosine(france, await expected(await tokensOf(FRANCE)))).toBeGreaterThan(0.9999)
    expect(cosine(france, hens)).toBeLessThan(0.99)
    for (const vector of [france, hens]) expect(magnitude(Float32Array.from(vector))).toBeCloseTo(1, 6)
  })

  it('come by the route of all layers', async () => {
    const response = (await openai.embeddings.create({ model: 'last', input: 'a' })) as unknown as {
      flambeau: { route: { name: string; start: number; end: number }[] }
    }
    expect(response.flambeau.route.map(({ name, start, end }) => [name, start, end])).toEqual([
      ['node-0', 0, 3],
      ['node-1', 3, 6],
      ['node-2', 6, 8]
    ])
  })

  it('are the same as base64 and as numbers, from a text and from its tokens', async () => {
    const ask = async (body: object): Promise<string | number[]> => {
      const response = await fetch(`${url}/v1/embeddings`, {
        ...{ method: 'POST', headers: { 'content-type': 'application/json' } },
        body: JSON.stringify({ model: 'last', input: FRANCE, ...body })
      })
      const { data } = (await response.json()) as { data: { embedding: string | number[] }[] }
      return data[0]?.embedding ?? []
    }
    const numbers = await ask({})
    const bytes = Buffer.from((await ask({ encoding_format: 'base64' })) as string, 'base64')
    const floats = Array.from({ length: bytes.length / 4 }, (_, i) => bytes.readFloatLE(4 * i))
    expect(floats).toEqual(numbers)
    expect(await ask({ input: [...(await tokensOf(FRANCE))] })).toEqual(numbers)
  })

  it('are cut to the dimensions that are wanted', async () => {
    const body = { model: 'last', input: FRANCE, dimensions: 64, flambeau: { dtype: 'f32' } }
    const { data } = await openai.embeddings.create(body)
    expect(data[0]?.embedding).toEqual(await expected(await tokensOf(FRANCE), 64))
    expect(await refusal({ dimensions: WIDTH + 1 })).toEqual([400, 'too_many_dimensions', 'dimensions'])
  })

  it('are refused of models that make none, and of texts that do not fit', async () => {
    expect(await refusal({ model: 'ember' })).toEqual([400, 'no_embeddings', null])
    expect(await refusal({ model: 'mean' })).toEqual([400, 'no_embeddings', null])
    expect(await refusal({ model: 'nobody' })).toEqual([404, 'model_not_found', null])
    const long = 'eggs '.repeat(2_000)
    expect(await refusal({ input: ['a', long] })).toEqual([400, 'context_length_exceeded', 'input.1'])
    expect(await refusal({ input: '' })).toEqual([400, 'bad_request', 'input'])
    expect(await refusal({ input: [[4_000]] })).toEqual([400, 'unknown_token', null])
  })

  it('are made next to answers, for many clients at once', async () => {
    const texts = Array.from({ length: 24 }, (_, i) => `Number ${i} of the hens.`)
    const chat = {
      model: 'last',
      messages: [{ role: 'user' as const, content: FRANCE }],
      temperature: 0,
      max_tokens: 16
    }
    const alone = await openai.chat.completions.create(chat)
    const batch = openai.embeddings.create({ model: 'last', input: texts })
    const [together, answer, ...single] = await Promise.all([
      batch,
      openai.chat.completions.create(chat),
      ...texts.map(async input => openai.embeddings.create({ model: 'last', input }))
    ])
    expect(answer.choices[0]?.message.content).toBe(alone.choices[0]?.message.content)
    for (const [i, { data }] of single.entries()) {
      expect(cosine(data[0]?.embedding ?? [], together.data[i]?.embedding ?? [])).toBeGreaterThan(0.9999)
    }
    await expect
      .poll(async () => (await mesh.status()).map(({ sessions }) => sessions.served), { timeout: 10_000 })
      .toEqual([0, 0, 0])
  })

  it('serve a LangChain model', async () => {
    const embeddings = new OpenAIEmbeddings({
      ...{ model: 'last', apiKey: 'none', maxRetries: 0 },
      configuration: { baseURL: `${url}/v1` }
    })
    const [france = [], hens = []] = await embeddings.embedDocuments([FRANCE, HENS])
    const asked = await embeddings.embedQuery(FRANCE)
    expect(cosine(asked, france)).toBeGreaterThan(cosine(asked, hens))
    expect(france).toHaveLength(WIDTH)
  })
})
