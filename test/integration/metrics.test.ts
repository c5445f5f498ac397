import OpenAI from 'openai'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { STAGE_PROTOCOL } from '../../protocol/ids.js'
import { type Family, parseExposition, valueOf } from '../support/exposition.js'
import { type Mesh, startMesh } from '../support/mesh.js'
import { temporaryFolder } from '../support/temporary.js'
import { writeTinyModel } from '../support/tiny-model.js'

const GATEWAY = ['--gateway', '127.0.0.1:0']
const CONTEXT = 4096
/** Four times as many as the shards take at once. */
const CROWD = 32
const TOKENS = 12
const BODY = {
  ...{ model: 'tiny', temperature: 0, max_tokens: TOKENS },
  messages: [{ role: 'user', content: 'the' }] satisfies OpenAI.ChatCompletionMessageParam[]
}
const TINY = { model: 'tiny' }

const opened: AsyncDisposable[] = []
let mesh: Mesh
let urls: string[]
let openai: OpenAI

beforeAll(async () => {
  const folder = await temporaryFolder()
  opened.push({ [Symbol.asyncDispose]: () => folder.remove() })
  const { file } = await writeTinyModel(folder.file('tiny.gguf'), { architecture: 'qwen3', context: CONTEXT })
  mesh = await startMesh({
    nodes: [
      { layers: '0-4', args: GATEWAY },
      { layers: '4-8', args: GATEWAY }
    ],
    models: [{ file, name: 'tiny' }],
    context: CONTEXT
  })
  opened.push(mesh)
  urls = (await mesh.status()).map(({ gateway }) => gateway ?? '')
  openai = new OpenAI({ baseURL: `${urls[0]}/v1`, apiKey: 'none', maxRetries: 0 })
})

afterAll(async () => {
  for (const one of opened.reverse()) await one[Symbol.asyncDispose]()
})

async function scrape(index: number): Promise<Map<string, Family>> {
  const response = await fetch(`${urls[index]}/metrics`)
  expect(response.status).toBe(200)
  return parseExposition(await response.text())
}

async function value(index: number, name: string, labels: Record<string, string> = {}): Promise<number> {
  return valueOf(await scrape(index), name, labels) ?? NaN
}

async function ready(index: number): Promise<[number, string]> {
  const response = await fetch(`${urls[index]}/readyz`)
  return [response.status, ((await response.json()) as { status: string }).status]
}

const answers = async (outcome: string, model = 'tiny'): Promise<number> =>
  value(0, 'flambeau_answers_total', { model, outcome })

describe('the metrics of a mesh', () => {
  it('say of idle nodes what they serve', async () => {
    for (const [index, layers] of ['0-4', '4-8'].entries()) {
      const families = await scrape(index)
      const of = (name: string, labels = {}): number | undefined => valueOf(families, name, labels)
      expect(of('flambeau_state', { state: 'online' })).toBe(1)
      expect(of('flambeau_engine_ready')).toBe(1)
      expect(of('flambeau_kv_positions', { ...TINY, layers })).toBe(CONTEXT)
      expect(of('flambeau_kv_positions_used', { ...TINY, layers })).toBe(0)
      expect(of('flambeau_layer_token_seconds', { ...TINY, layers })).toBeGreaterThan(0)
      expect(of('flambeau_memory_used_bytes')).toBeGreaterThan(0)
      expect(of('flambeau_peers', { path: 'direct' })).toBe(1)
      expect(of('libp2p_kad_dht_routing_table_size')).toBe(1)
      expect(of('flambeau_sessions')).toBe(0)
      expect(of('process_resident_memory_bytes')).toBeGreaterThan(0)
      // Those that measured the layers are nobody's.
      expect(families.get('flambeau_step_rows')?.samples).toEqual([])
    }
  })

  it('count what was answered, token by token and row by row, whichever door it came through', async () => {
    let [prompt, generated] = [0, 0]
    for (let i = 0; i < 2; i++) {
      const { usage } = await openai.chat.completions.create(BODY)
      prompt += usage?.prompt_tokens ?? NaN
      generated += usage?.completion_tokens ?? NaN
    }
    const sampling = { temperature: 0, maxTokens: TOKENS }
    const { tokens } = await mesh.ask(0, { model: 'tiny', messages: BODY.messages, sampling })
    prompt *= 3 / 2 // the same prompt once more
    generated += tokens.length
    expect(generated).toBe(3 * TOKENS)
    expect(await answers('ok')).toBe(3)
    const [first, second] = [await scrape(0), await scrape(1)]
    expect(valueOf(first, 'flambeau_generated_tokens_total', TINY)).toBe(generated)
    expect(valueOf(first, 'flambeau_prompt_tokens_total', TINY)).toBe(prompt)
    expect(valueOf(first, 'flambeau_first_token_seconds_count', TINY)).toBe(3)
    expect(valueOf(first, 'flambeau_token_seconds_count', TINY)).toBeGreaterThan(0)
    // The last token of an answer is not computed with any more.
    const rows = prompt + generated - 3
    expect(valueOf(first, 'flambeau_step_rows_sum', { origin: 'self' })).toBe(rows)
    expect(valueOf(second, 'flambeau_step_rows_sum', { origin: 'peer' })).toBe(rows)
    expect(valueOf(second, 'flambeau_step_compute_seconds_sum', { origin: 'peer' })).toBeGreaterThan(0)
    // Each decode is counted once, and no decode that measures the layers.
    expect(valueOf(first, 'flambeau_decode_rows_sum')).toBe(rows)
    expect(valueOf(first, 'flambeau_decode_steps_sum')).toBe(
      valueOf(first, 'flambeau_step_rows_count', { origin: 'self' })
    )
    expect(valueOf(second, 'flambeau_answers_total', { ...TINY, outcome: 'ok' })).toBeUndefined()
  })

  it('count on both ends what went from one to the other', async () => {
    const [first, second] = [await scrape(0), await scrape(1)]
    for (const protocol of ['stage', 'relay']) {
      const sent = valueOf(first, 'flambeau_stream_bytes_total', { protocol, opened: 'here', direction: 'sent' })
      const came = valueOf(second, 'flambeau_stream_bytes_total', { protocol, opened: 'peer', direction: 'received' })
      expect(came).toBeGreaterThan(0)
      expect(sent).toBeGreaterThanOrEqual(came ?? NaN)
      expect(valueOf(first, 'flambeau_stream_bytes_total', { protocol, opened: 'peer', direction: 'sent' })).toBe(0)
    }
  })

  it('do not count as failures those that wait for their turn', async () => {
    const before = await answers('ok')
    await Promise.all(Array.from({ length: CROWD }, async () => openai.chat.completions.create(BODY)))
    const { samples = [] } = (await scrape(0)).get('flambeau_answers_total') ?? {}
    expect(samples).toEqual([
      { name: 'flambeau_answers_total', labels: { ...TINY, outcome: 'ok' }, value: before + CROWD }
    ])
    expect(await value(0, 'flambeau_answers_waiting')).toBe(0)
    // What waits at the same time is computed together.
    const after = await scrape(1)
    const of = (name: string): number => valueOf(after, name) ?? NaN
    expect(of('flambeau_decode_steps_sum')).toBe(valueOf(after, 'flambeau_step_rows_count', { origin: 'peer' }))
    expect(of('flambeau_decode_steps_count')).toBeLessThan(of('flambeau_decode_steps_sum'))
    const route = '/v1/chat/completions'
    expect(await value(0, 'flambeau_http_requests_total', { route, status: '200' })).toBe(CROWD + 2)
  })

  it('show an answer while it is under way, and count as cancelled what nobody waits for', async () => {
    const [cancelled, tokens] = [await answers('cancelled'), await value(0, 'flambeau_generated_tokens_total', TINY)]
    expect(cancelled).toBeNaN()
    const abort = new AbortController()
    const long = { ...BODY, max_tokens: 2_000, stream: true } as const
    const stream = await openai.chat.completions.create(long, { signal: abort.signal })
    // A loop that is left would end the stream with it.
    const chunks = stream[Symbol.asyncIterator]()
    let text: string | null | undefined
    while (!text) {
      const { value } = (await chunks.next()) as IteratorResult<OpenAI.ChatCompletionChunk, undefined>
      text = value?.choices[0]?.delta.content
    }
    const [first, second] = [await scrape(0), await scrape(1)]
    expect(valueOf(first, 'flambeau_answers_running')).toBe(1)
    expect([first, second].map(families => valueOf(families, 'flambeau_sessions'))).toEqual([1, 1])
    // Sessions that rest have theirs too.
    const streams = (of: Map<string, Family>, opened: string): number | undefined =>
      valueOf(of, 'libp2p_protocol_streams_total', { protocol: `${opened} ${STAGE_PROTOCOL}` })
    expect(streams(first, 'outbound')).toBeGreaterThanOrEqual(1)
    expect(streams(second, 'inbound')).toBeGreaterThanOrEqual(1)
    const shard = { ...TINY, layers: '4-8' }
    expect(valueOf(second, 'flambeau_kv_positions_used', shard)).toBeGreaterThanOrEqual(2_000)
    abort.abort()
    await expect.poll(async () => answers('cancelled'), { timeout: 10_000 }).toBe(1)
    expect(await value(0, 'flambeau_generated_tokens_total', TINY)).toBeGreaterThan(tokens)
    expect(await value(0, 'flambeau_answers_running')).toBe(0)
    await expect.poll(async () => value(1, 'flambeau_sessions'), { timeout: 10_000 }).toBe(0)
    expect(await value(1, 'flambeau_kv_positions_used', shard)).toBe(0)
  })

  it('count failures by their code, without the name that a stranger could make up', async () => {
    await expect(openai.chat.completions.create({ ...BODY, model: 'made up' })).rejects.toMatchObject({ status: 404 })
    expect(await answers('UNKNOWN_MODEL', 'other')).toBe(1)
    const families = await scrape(0)
    expect(JSON.stringify([...families])).not.toContain('made up')
    for (const { peer } of await mesh.status()) expect(JSON.stringify([...families])).not.toContain(peer)
  })
})

describe('the health of a node', () => {
  it('is not ready while it is paused, and ready again afterwards; it lives all the time', async () => {
    expect(await ready(1)).toEqual([200, 'ready'])
    expect((await mesh.run(1, ['pause'])).code).toBe(0)
    expect((await ready(1))[0]).toBe(503)
    await expect.poll(async () => ready(1), { timeout: 10_000 }).toEqual([503, 'paused'])
    expect((await fetch(`${urls[1]}/healthz`)).status).toBe(200)
    const families = await scrape(1)
    expect(valueOf(families, 'flambeau_state', { state: 'paused' })).toBe(1)
    expect(families.get('flambeau_kv_positions')?.samples).toEqual([])
    expect((await mesh.run(1, ['resume'])).code).toBe(0)
    await expect.poll(async () => ready(1), { timeout: 10_000 }).toEqual([200, 'ready'])
  })
})
