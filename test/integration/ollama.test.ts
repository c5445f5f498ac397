import { type ChatResponse, type GenerateResponse, Ollama } from 'ollama'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { readGguf } from '../../node/models/gguf.js'
import { VERSION } from '../../node/version.js'
import { type Mesh, startMesh } from '../support/mesh.js'
import { temporaryFolder } from '../support/temporary.js'
import { writeTinyModel } from '../support/tiny-model.js'

const GATEWAY = ['--gateway', '127.0.0.1:0']
const MESSAGES = [{ role: 'user', content: 'the' }]
const GREEDY = { temperature: 0, num_predict: 16 }
const CONTEXT = 4096

/** What Flambeau adds to the end of an answer. */
interface Flambeau {
  flambeau: { route: { name: string; start: number; end: number }[] }
}

const opened: AsyncDisposable[] = []
let mesh: Mesh
let file: string
let url: string
let ollama: Ollama
/** What the node answers to its owner. */
let expected: string

beforeAll(async () => {
  const folder = await temporaryFolder()
  opened.push({ [Symbol.asyncDispose]: () => folder.remove() })
  file = folder.file('tiny.gguf')
  await writeTinyModel(file, { architecture: 'qwen3', context: CONTEXT })
  mesh = await startMesh({
    nodes: [{ layers: '0-4', args: GATEWAY }, { layers: '4-8' }],
    models: [{ file, name: 'tiny' }],
    context: CONTEXT
  })
  opened.push(mesh)
  const { gateway } = await mesh.node(0).service.status()
  url = gateway ?? ''
  ollama = new Ollama({ host: url })
  const sampling = { temperature: 0, maxTokens: GREEDY.num_predict }
  expected = (await mesh.ask(0, { model: 'tiny', prompt: 'the', sampling })).text
  expect(expected).not.toBe('')
})

afterAll(async () => {
  for (const one of opened.reverse()) await one[Symbol.asyncDispose]()
})

describe("Ollama's client", () => {
  it('lists models, shows one, and knows the version', async () => {
    const { models } = await ollama.list()
    const [{ manifest } = { manifest: '' }] = await mesh.node(0).service.models()
    expect(models).toMatchObject([
      { name: 'tiny:latest', model: 'tiny:latest', digest: manifest, details: { format: 'gguf', family: 'qwen3' } }
    ])
    expect(await ollama.show({ model: 'tiny:latest' })).toMatchObject({
      ...{ capabilities: ['completion'], model_info: { 'general.architecture': 'qwen3' } }
    })
    expect(await ollama.version()).toEqual({ version: VERSION })
  })

  it('has the size and the context of a model that its node holds, and sees it running', async () => {
    const bytes = (await readGguf(file)).tensors.reduce((sum, { size }) => sum + size, 0)
    expect((await ollama.list()).models).toMatchObject([{ name: 'tiny:latest', size: bytes }])
    const { models } = await ollama.ps()
    expect(models).toMatchObject([{ name: 'tiny:latest', size: bytes, context_length: CONTEXT }])
    expect(models[0]).not.toHaveProperty('expires_at')
    expect((await ollama.show({ model: 'tiny' })).model_info).toMatchObject({
      ...{ 'qwen3.block_count': 8, 'qwen3.context_length': CONTEXT }
    })
  })

  it('has the answer that the command line has, with what it took and its route', async () => {
    const answer = await ollama.chat({ model: 'tiny', messages: MESSAGES, options: GREEDY })
    expect(answer).toMatchObject({
      ...{ model: 'tiny', message: { role: 'assistant', content: expected }, done: true, done_reason: 'length' },
      ...{ eval_count: 16, load_duration: 0 }
    })
    expect(answer.prompt_eval_count).toBeGreaterThan(0)
    expect(answer.prompt_eval_duration).toBeGreaterThan(0)
    expect(answer.eval_duration).toBeGreaterThan(0)
    expect(answer.total_duration).toBeGreaterThanOrEqual(answer.prompt_eval_duration + answer.eval_duration)
    const { flambeau } = answer as unknown as Flambeau
    expect(flambeau.route.map(({ name, start, end }) => [name, start, end])).toEqual([
      ['node-0', 0, 4],
      ['node-1', 4, 8]
    ])
  })

  it('streams it, by the name that the list has', async () => {
    const chunks: ChatResponse[] = []
    const body = { model: 'tiny:latest', messages: MESSAGES, options: GREEDY, stream: true } as const
    for await (const chunk of await ollama.chat(body)) chunks.push(chunk)
    expect(chunks.length).toBeGreaterThan(2)
    expect(chunks.map(({ message }) => message.content).join('')).toBe(expected)
    expect(chunks.map(({ done }) => done)).toEqual(chunks.map((_, i) => i === chunks.length - 1))
    expect(chunks.at(-1)).toMatchObject({ model: 'tiny:latest', done_reason: 'length', eval_count: 16 })
  })

  it('answers a prompt, and continues one as it is', async () => {
    const body = { model: 'tiny', prompt: 'the', options: GREEDY }
    expect(await ollama.generate(body)).toMatchObject({ response: expected, done: true, done_reason: 'length' })
    const sampling = { temperature: 0, maxTokens: GREEDY.num_predict }
    const { text } = await mesh.ask(0, { model: 'tiny', prompt: 'the', raw: true, sampling })
    const chunks: GenerateResponse[] = []
    for await (const chunk of await ollama.generate({ ...body, raw: true, stream: true })) chunks.push(chunk)
    expect(chunks.map(({ response }) => response).join('')).toBe(text)
    expect(chunks.at(-1)).toMatchObject({ done: true, eval_count: 16 })
    expect(await ollama.generate({ model: 'tiny', prompt: '' })).toMatchObject({ done: true, done_reason: 'load' })
  })

  it('stops before a stop string, and takes a seed for the same answer again', async () => {
    const stop = [expected.slice(4, 7)]
    const stopped = await ollama.chat({ model: 'tiny', messages: MESSAGES, options: { ...GREEDY, stop } })
    expect(stopped.done_reason).toBe('stop')
    expect(stopped.message.content).toBe(expected.slice(0, expected.indexOf(stop[0] ?? '')))
    const warm = { model: 'tiny', messages: MESSAGES, options: { ...GREEDY, temperature: 1.5, seed: 7 } }
    const [one, two] = [await ollama.chat(warm), await ollama.chat(warm)]
    expect(one.message.content).toBe(two.message.content)
    expect(one.message.content).not.toBe(expected)
  })

  it('is told what is wrong, whole and in a stream, with the status that it knows', async () => {
    const ask = async (changes: object, stream: boolean): Promise<unknown> =>
      // The client's types know but one of the two at a time.
      ollama.chat({ model: 'tiny', messages: MESSAGES, options: GREEDY, ...changes, stream: stream as true }).then(
        () => 'answered',
        (error: unknown) => {
          const { status_code, message } = error as Error & { status_code: number }
          return [status_code, message]
        }
      )
    const mentioning = (text: string): string => expect.stringContaining(text) as string
    const long = [{ role: 'user', content: 'the '.repeat(3 * CONTEXT) }]
    for (const stream of [false, true]) {
      expect(await ask({ model: 'nobody' }, stream)).toEqual([404, mentioning('"nobody"')])
      expect(await ask({ think: true }, stream)).toEqual([400, mentioning('`think` is not supported')])
      expect(await ask({ options: { mirostat: 1 } }, stream)).toEqual([400, mentioning('`options.mirostat`')])
      expect(await ask({ messages: long }, stream)).toEqual([400, mentioning(String(CONTEXT))])
    }
    await expect(ollama.show({ model: 'nobody' })).rejects.toMatchObject({ status_code: 404 })
    await expect(ollama.pull({ model: 'tiny' })).rejects.toMatchObject({ status_code: 404 })
  })

  it('has JSON that fits a schema', async () => {
    const format = { type: 'object', properties: { yes: { type: 'boolean' } } }
    const { message } = await ollama.chat({ model: 'tiny', messages: MESSAGES, format, options: { num_predict: 100 } })
    expect(JSON.parse(message.content)).toEqual({ yes: expect.any(Boolean) as boolean })
  })

  it('frees every stage when it goes away', async () => {
    const options = { temperature: 0, num_predict: 2_000 }
    const stream = await ollama.chat({ model: 'tiny', messages: MESSAGES, options, stream: true })
    for await (const { message } of stream) if (message.content !== '') break
    const busy = (await mesh.status()).map(({ sessions }) => sessions.served)
    stream.abort()
    expect(busy.every(served => served > 0)).toBe(true)
    await expect
      .poll(async () => (await mesh.status()).map(({ sessions }) => sessions), { timeout: 10_000 })
      .toEqual([
        { served: 0, origin: 0 },
        { served: 0, origin: 0 }
      ])
  })

  it('waits for its turn where everybody is busy, next to clients of the other interface', async () => {
    const chat = async (): Promise<string> =>
      (await ollama.chat({ model: 'tiny', messages: MESSAGES, options: GREEDY })).message.content
    const other = async (): Promise<string> => {
      const body = { model: 'tiny', messages: MESSAGES, temperature: 0, max_tokens: GREEDY.num_predict }
      const headers = { 'content-type': 'application/json' }
      const response = await fetch(`${url}/v1/chat/completions`, {
        method: 'POST',
        headers,
        body: JSON.stringify(body)
      })
      const { choices } = (await response.json()) as { choices: { message: { content: string } }[] }
      return choices[0]?.message.content ?? ''
    }
    // Four times as many as the shards take at once.
    const answers = await Promise.all(Array.from({ length: 32 }, async (_, i) => (i % 2 === 0 ? chat() : other())))
    expect(new Set(answers)).toEqual(new Set([expected]))
  })
})
