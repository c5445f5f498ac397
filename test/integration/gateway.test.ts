import { ChatOpenAI } from '@langchain/openai'
import OpenAI from 'openai'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { GenerateRequest } from '../../node/control/contract.js'
import { type Mesh, startMesh } from '../support/mesh.js'
import { temporaryFolder } from '../support/temporary.js'
import { writeTinyModel } from '../support/tiny-model.js'
import { wholeModel } from '../support/whole-model.js'

const GATEWAY = ['--gateway', '127.0.0.1:0']
const MESSAGES: OpenAI.ChatCompletionMessageParam[] = [{ role: 'user', content: 'the' }]
const GREEDY = { temperature: 0, max_tokens: 16 }
const CONTEXT = 4096
/** Shows tools, and their calls as Hermes has them. */
const TEMPLATE =
  '{% for tool in tools %}{{ tool.function.name }} {% endfor %}{% for m in messages %}{{ m.content }}' +
  '{% if m.tool_calls %}{% for c in m.tool_calls %}<tool_call>{{ c.function | tojson }}</tool_call>{% endfor %}{% endif %}' +
  '{% endfor %}'

/** What Flambeau adds to a choice. */
interface Flambeau {
  flambeau: { route: { name: string; start: number; end: number }[]; seed: number; recoveries: unknown[] }
}

const opened: AsyncDisposable[] = []
let mesh: Mesh
let url: string
let openai: OpenAI
let expected: string

beforeAll(async () => {
  const folder = await temporaryFolder()
  opened.push({ [Symbol.asyncDispose]: () => folder.remove() })
  const options = { architecture: 'qwen3', context: CONTEXT } as const
  const { file } = await writeTinyModel(folder.file('tiny.gguf'), options)
  const tools = await writeTinyModel(folder.file('tools.gguf'), { ...options, chatTemplate: TEMPLATE })
  await using whole = await wholeModel(file)
  mesh = await startMesh({
    nodes: [{ layers: '0-4', args: GATEWAY }, { layers: '4-8' }],
    models: [
      { file, name: 'tiny' },
      { file: tools.file, name: 'tools' }
    ],
    context: CONTEXT
  })
  opened.push(mesh)
  const { gateway } = await mesh.node(0).service.status()
  url = gateway ?? ''
  openai = new OpenAI({ baseURL: `${url}/v1`, apiKey: 'none', maxRetries: 0 })
  const request: GenerateRequest = {
    ...{ model: 'tiny', messages: [{ role: 'user', content: 'the' }], dtype: 'f32' },
    sampling: { temperature: 0, maxTokens: GREEDY.max_tokens }
  }
  expected = (await mesh.ask(0, request)).text
  expect((await mesh.ask(0, request)).tokens).toEqual(await whole.answer(request, 2))
})

afterAll(async () => {
  for (const one of opened.reverse()) await one[Symbol.asyncDispose]()
})

describe('the OpenAI client', () => {
  it('lists models, and finds one', async () => {
    const models = await openai.models.list()
    const facts = { object: 'model', flambeau: { complete: true, missing: [] } }
    expect(models.data).toMatchObject([
      { id: 'tiny', ...facts },
      { id: 'tools', ...facts }
    ])
    expect(await openai.models.retrieve('tiny')).toMatchObject({ id: 'tiny' })
  })

  it('has the answer that the command line has, with its usage and its route', async () => {
    const answer = await openai.chat.completions.create({ model: 'tiny', messages: MESSAGES, ...GREEDY })
    expect(answer).toMatchObject({ object: 'chat.completion', model: 'tiny' })
    expect(answer.choices).toMatchObject([
      { index: 0, finish_reason: 'length', message: { role: 'assistant', content: expected }, logprobs: null }
    ])
    const { prompt_tokens, completion_tokens, total_tokens } = answer.usage ?? {}
    expect([completion_tokens, total_tokens]).toEqual([16, (prompt_tokens ?? NaN) + 16])
    const { flambeau } = answer.choices[0] as unknown as Flambeau
    expect(flambeau.route.map(({ name, start, end }) => [name, start, end])).toEqual([
      ['node-0', 0, 4],
      ['node-1', 4, 8]
    ])
  })

  it('streams it, with the usage in a last chunk where it is wanted', async () => {
    const body = { model: 'tiny', messages: MESSAGES, ...GREEDY, stream: true } as const
    const stream = await openai.chat.completions.create({ ...body, stream_options: { include_usage: true } })
    const chunks: OpenAI.ChatCompletionChunk[] = []
    for await (const chunk of stream) chunks.push(chunk)
    const [first] = chunks
    const [closing, last] = chunks.slice(-2)
    expect(first?.choices[0]?.delta).toMatchObject({ role: 'assistant', content: '' })
    expect(textOf(chunks)).toBe(expected)
    expect(closing?.choices).toMatchObject([{ delta: {}, finish_reason: 'length', flambeau: { recoveries: [] } }])
    expect(last).toMatchObject({ choices: [], usage: { completion_tokens: 16 } })
    expect(new Set(chunks.map(({ id }) => id)).size).toBe(1)
    const plain: OpenAI.ChatCompletionChunk[] = []
    for await (const chunk of await openai.chat.completions.create(body)) plain.push(chunk)
    expect(plain.at(-1)?.choices[0]?.finish_reason).toBe('length')
  })

  it('stops before a stop string, and takes a seed for the same answer again', async () => {
    const stop = expected.slice(4, 7)
    const body = { model: 'tiny', messages: MESSAGES, ...GREEDY }
    const stopped = await openai.chat.completions.create({ ...body, stop })
    expect(stopped.choices[0]).toMatchObject({ finish_reason: 'stop' })
    expect(stopped.choices[0]?.message.content).toBe(expected.slice(0, expected.indexOf(stop)))
    const warm = { ...body, temperature: 1.5, seed: 7 }
    const [one, two] = [await openai.chat.completions.create(warm), await openai.chat.completions.create(warm)]
    expect(one.choices[0]?.message.content).toBe(two.choices[0]?.message.content)
    expect(one.choices[0]?.message.content).not.toBe(expected)
  })

  it('has several answers at once, whole and in a stream', async () => {
    const body = { model: 'tiny', messages: MESSAGES, max_tokens: 8, temperature: 1.5, seed: 7, n: 3 }
    const whole = await openai.chat.completions.create(body)
    const texts = whole.choices.map(({ message }) => message.content)
    expect(new Set(texts).size).toBe(3)
    expect(whole.usage?.completion_tokens).toBe(24)
    const streamed = ['', '', '']
    for await (const { choices } of await openai.chat.completions.create({ ...body, stream: true })) {
      for (const { index, delta } of choices) streamed[index] = `${streamed[index]}${delta.content ?? ''}`
    }
    expect(streamed).toEqual(texts)
  })

  it('has the probabilities of tokens, and steers them by bias', async () => {
    const body = { model: 'tiny', messages: MESSAGES, ...GREEDY, max_tokens: 4 }
    const { choices } = await openai.chat.completions.create({ ...body, logprobs: true, top_logprobs: 3 })
    const content = choices[0]?.logprobs?.content ?? []
    expect(content).toHaveLength(4)
    for (const { token, logprob, top_logprobs } of content) {
      expect(top_logprobs).toHaveLength(3)
      // Greedy: the likeliest is the one that was taken.
      expect(top_logprobs[0]).toMatchObject({ token, logprob })
      const probabilities = top_logprobs.map(one => Math.exp(one.logprob))
      expect(probabilities).toEqual([...probabilities].sort((a, b) => b - a))
      expect(probabilities.reduce((sum, one) => sum + one, 0)).toBeLessThanOrEqual(1)
    }
    expect(content.map(({ token }) => token).join('')).toBe(choices[0]?.message.content)
    const sampling = { temperature: 0, maxTokens: 1 }
    const [likeliest = 0] = (await mesh.ask(0, { model: 'tiny', prompt: 'the', sampling })).tokens
    const biased = await openai.chat.completions.create({ ...body, logit_bias: { [likeliest]: -100 } })
    expect(biased.choices[0]?.message.content?.startsWith(content[0]?.token ?? '')).toBe(false)
    const [second] = biased.choices
    expect(second?.message.content?.startsWith(content[0]?.top_logprobs[1]?.token ?? '?')).toBe(true)
  })

  it('has JSON that fits a schema, and other JSON, from a model that knows nothing of either', async () => {
    const body = { model: 'tiny', messages: MESSAGES, temperature: 1, max_tokens: 400 }
    const schema = {
      type: 'object',
      properties: { yes: { type: 'boolean' }, of: { enum: ['a', 'b'] } }
    }
    const three = { ...body, seed: 1, logprobs: true, n: 3 }
    const { choices } = await openai.chat.completions.create({
      ...three,
      response_format: { type: 'json_schema', json_schema: { name: 'answer', strict: true, schema } }
    })
    for (const { finish_reason, message } of choices) {
      expect(finish_reason).toBe('stop')
      const { yes, of } = JSON.parse(message.content ?? '') as Record<string, unknown>
      expect([typeof yes, of === 'a' || of === 'b']).toEqual(['boolean', true])
    }
    const streamed: OpenAI.ChatCompletionChunk[] = []
    const any = { ...body, seed: 5, response_format: { type: 'json_object' }, stream: true } as const
    for await (const chunk of await openai.chat.completions.create(any)) streamed.push(chunk)
    expect(textOf(streamed).startsWith('{')).toBe(true)
    if (streamed.at(-1)?.choices[0]?.finish_reason === 'stop') JSON.parse(textOf(streamed))
    const wrong = { type: 'json_schema', json_schema: { name: 'x', schema: { type: 'string', pattern: 'a' } } } as const
    await expect(openai.chat.completions.create({ ...body, response_format: wrong })).rejects.toMatchObject({
      ...{ status: 400, code: 'bad_schema' }
    })
  })

  it('has calls of tools where they are wanted, and goes on with what they answered', async () => {
    const parameters = { type: 'object', properties: { city: { enum: ['Ulm', 'Bonn'] } } }
    const tools: OpenAI.ChatCompletionTool[] = ['weather', 'news'].map(name => ({
      ...{ type: 'function', function: { name, parameters } }
    }))
    const body = { model: 'tools', messages: MESSAGES, temperature: 1, max_tokens: 200, tools }
    const wanted = { ...body, tool_choice: 'required' } as const
    const { choices } = await openai.chat.completions.create(wanted)
    expect(choices[0]).toMatchObject({ finish_reason: 'tool_calls', message: { content: null } })
    const [call] = choices[0]?.message.tool_calls ?? []
    if (call?.type !== 'function') throw new Error('no call of a function')
    expect(['weather', 'news']).toContain(call.function.name)
    const given = JSON.parse(call.function.arguments) as { city: string }
    expect(['Ulm', 'Bonn']).toContain(given.city)
    // The very message that came, as agents send it back.
    const answered: OpenAI.ChatCompletionMessageParam[] = [
      ...MESSAGES,
      choices[0]?.message ?? { role: 'assistant', content: '' },
      { role: 'tool', tool_call_id: call.id, content: 'warm' }
    ]
    const next = await openai.chat.completions.create({ ...body, ...GREEDY, messages: answered })
    expect(next.choices[0]?.message.content).not.toBe('')
    const named = { ...body, tool_choice: { type: 'function', function: { name: 'news' } }, stream: true } as const
    const deltas: OpenAI.ChatCompletionChunk.Choice.Delta.ToolCall[] = []
    for await (const chunk of await openai.chat.completions.create(named)) {
      deltas.push(...(chunk.choices[0]?.delta.tool_calls ?? []))
    }
    expect(deltas).toMatchObject([{ index: 0, type: 'function', function: { name: 'news' } }])
    const none = openai.chat.completions.create({ ...wanted, model: 'tiny' })
    await expect(none).rejects.toMatchObject({ status: 400, code: 'no_tools' })
  })

  it('continues plain text', async () => {
    const body = { model: 'tiny', prompt: 'the', ...GREEDY }
    const answer = await openai.completions.create({ ...body, logprobs: 2, max_tokens: 4 })
    const { logprobs, text } = answer.choices[0] ?? {}
    expect(logprobs?.tokens?.join('')).toBe(text)
    expect(logprobs?.text_offset?.[0]).toBe(0)
    const echoed = await openai.completions.create({ ...body, prompt: ['the', 'a'], echo: true, stream: true })
    const texts = ['', '']
    for await (const { choices } of echoed)
      for (const choice of choices) texts[choice.index] = `${texts[choice.index]}${choice.text}`
    expect(texts[0]?.startsWith(`the${text}`)).toBe(true)
    expect(texts[1]?.startsWith('a')).toBe(true)
    expect(texts[1]?.length).toBeGreaterThan(1)
  })

  it('is told what is wrong, with the status and code that it knows', async () => {
    const ask = async (changes: object): Promise<unknown> =>
      openai.chat.completions.create({ model: 'tiny', messages: MESSAGES, ...GREEDY, ...changes }).then(
        () => 'answered',
        (error: unknown) => {
          const { status, code, param } = error as InstanceType<typeof OpenAI.APIError>
          return [status, code, param]
        }
      )
    expect(await ask({ model: 'nobody' })).toEqual([404, 'model_not_found', null])
    expect(await ask({ temperature: 'hot' })).toEqual([400, 'bad_request', 'temperature'])
    expect(await ask({ audio: { voice: 'x' } })).toEqual([400, 'unsupported_parameter', 'audio'])
    expect(await ask({ messages: [{ role: 'user', content: 'the', name: 'me' }] })).toEqual([
      ...[400, 'unsupported_parameter', 'messages.0.name']
    ])
    expect(await ask({ logit_bias: { 9999999: 1 } })).toEqual([400, 'unknown_token', null])
    expect(await ask({ messages: [{ role: 'user', content: 'the '.repeat(3 * CONTEXT) }] })).toEqual([
      ...[400, 'context_length_exceeded', null]
    ])
  })

  it('frees every stage when it goes away', async () => {
    const abort = new AbortController()
    const body = { model: 'tiny', messages: MESSAGES, temperature: 0, max_tokens: 2_000, stream: true } as const
    const stream = await openai.chat.completions.create(body, { signal: abort.signal })
    for await (const { choices } of stream) if (choices[0]?.delta.content) break
    abort.abort()
    await expect
      .poll(async () => (await mesh.status()).map(({ sessions }) => sessions), { timeout: 10_000 })
      .toEqual([
        { served: 0, origin: 0 },
        { served: 0, origin: 0 }
      ])
  })

  it('goes on with a conversation from what the stages hold of it, with the answer that it has anew', async () => {
    const first: OpenAI.ChatCompletionMessageParam[] = [
      { role: 'user', content: 'by the light of a torch '.repeat(20) }
    ]
    const body = { model: 'tiny', ...GREEDY, flambeau: { dtype: 'f32' } }
    const begun = await openai.chat.completions.create({ ...body, messages: first })
    expect(begun.usage?.prompt_tokens_details?.cached_tokens).toBe(0)
    const said = begun.choices[0]?.message ?? { role: 'assistant', content: '' }
    const messages: OpenAI.ChatCompletionMessageParam[] = [...first, said, { role: 'user', content: 'and then' }]
    const next = await openai.chat.completions.create({ ...body, messages })
    const { prompt_tokens = 0, prompt_tokens_details: { cached_tokens = 0 } = {} } = next.usage ?? {}
    // What comes after the first message is put together in another way than it was said.
    expect(cached_tokens).toBeGreaterThanOrEqual(begun.usage?.prompt_tokens ?? Infinity)
    expect(prompt_tokens - cached_tokens).toBeLessThan(64)
    const exact = { ...body, flambeau: { dtype: 'f32', replay: 'exact' } }
    const anew = await openai.chat.completions.create({ ...exact, messages })
    expect(anew.usage?.prompt_tokens_details?.cached_tokens).toBe(0)
    expect(next.choices[0]?.message.content).toBe(anew.choices[0]?.message.content)
    expect((await mesh.status()).map(({ sessions }) => sessions.served)).toEqual([0, 0])
  })

  it('waits for its turn where everybody is busy', async () => {
    // Four times as many as the shards take at once.
    const body = { model: 'tiny', messages: MESSAGES, ...GREEDY }
    const answers = await Promise.all(Array.from({ length: 32 }, async () => openai.chat.completions.create(body)))
    expect(new Set(answers.map(({ choices }) => choices[0]?.message.content))).toEqual(new Set([expected]))
  })
})

it('a LangChain chat model answers and streams', async () => {
  const chat = new ChatOpenAI({
    ...{ model: 'tiny', temperature: 0, maxTokens: GREEDY.max_tokens, apiKey: 'none', maxRetries: 0 },
    configuration: { baseURL: `${url}/v1` }
  })
  expect((await chat.invoke('the')).content).toBe(expected)
  let streamed = ''
  for await (const { text } of await chat.stream('the')) streamed += text
  expect(streamed).toBe(expected)
})

describe('a page of another site', () => {
  const ask = async (headers: Record<string, string>, body = '{}'): Promise<[number, unknown]> => {
    const response = await fetch(`${url}/v1/chat/completions`, { method: 'POST', headers, body })
    return [response.status, ((await response.json()) as { error: { code: string } }).error.code]
  }

  it('cannot use the gateway', async () => {
    expect(await ask({ origin: 'https://evil.example', 'content-type': 'application/json' })).toEqual([
      ...[403, 'foreign_origin']
    ])
    expect(await ask({ 'content-type': 'text/plain' })).toEqual([415, 'bad_request'])
  })
})

function textOf(chunks: readonly OpenAI.ChatCompletionChunk[]): string {
  return chunks.map(({ choices }) => choices[0]?.delta.content ?? '').join('')
}
