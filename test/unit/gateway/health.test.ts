import { once } from 'node:events'
import { request } from 'node:http'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import type { GenerateEvent, GenerateRequest, GenerateStats, StatusView } from '../../../node/control/contract.js'
import { readinessOf } from '../../../node/gateway/health.js'
import { Gateway } from '../../../node/gateway/server.js'
import { parseExposition, valueOf } from '../../support/exposition.js'
import { MetricsBench, STATUS } from '../metrics/bench.js'
import { embed } from './no-embeddings.js'

const ONLINE = { state: 'online' as const, pauses: [], overruled: [] }
const owner = { reason: 'owner' as const, until: undefined }
const logger = { info: vi.fn(), warn: vi.fn(), error: vi.fn(), debug: vi.fn() }
const bench = new MetricsBench()
let status: StatusView = STATUS

/** Goes on until its reader leaves where it is asked to. */
async function* generate({ messages }: GenerateRequest, options: { signal?: AbortSignal } = {}) {
  yield await Promise.resolve<GenerateEvent>({ event: 'route', stages: [], promptTokens: 2, cachedTokens: 0 })
  if (messages?.at(-1)?.content === 'wait') await once(options.signal ?? new EventTarget(), 'abort')
  options.signal?.throwIfAborted()
  yield { event: 'text' as const, text: 'hi', tokens: [1] }
  yield { event: 'done' as const, reason: 'stop' as const, stats: { stages: [] } as unknown as GenerateStats }
}

const gateway = new Gateway(
  {
    service: { generate, embed, models: () => Promise.resolve([]) },
    logger,
    health: { metrics: bench.metrics, status: () => Promise.resolve(status) }
  },
  { listen: { host: '127.0.0.1', port: 0 }, origins: [] }
)

beforeAll(async () => gateway.start())
afterAll(async () => gateway.stop())

const get = async (path: string): Promise<[number, unknown]> => {
  const response = await fetch(`${gateway.url}${path}`)
  return [response.status, await response.json()]
}

const chat = (content: string): string =>
  JSON.stringify({ model: 'toy', messages: [{ role: 'user', content }], stream: true })

describe('the health of a node', () => {
  it('is that it answers, whatever it does', async () => {
    status = { ...STATUS, state: 'paused', availability: { ...ONLINE, state: 'paused', pauses: [owner] } }
    expect(await get('/healthz')).toEqual([200, { status: 'ok' }])
    status = STATUS
  })

  it('is readiness while it takes part, and the reason while it does not', async () => {
    expect(await get('/readyz')).toEqual([200, { status: 'ready' }])
    status = { ...STATUS, state: 'paused', availability: { ...ONLINE, state: 'paused', pauses: [owner] } }
    expect(await get('/readyz')).toEqual([503, { status: 'paused', reason: 'The node is paused by its owner.' }])
    status = STATUS
  })

  it.each(['joining', 'draining', 'paused', 'leaving'] as const)('is not ready while it is %s', state => {
    const pauses = [owner, { reason: 'schedule' as const, until: 1 }]
    const { status: said, reason } = readinessOf({ state, availability: { ...ONLINE, pauses } })
    expect(said).toBe(state)
    expect(reason).toMatch(/^The node is .+\.$/)
    expect(reason).not.toContain('undefined')
  })

  it('is for nobody who may not use the gateway', async () => {
    const asked = request(`${gateway.url}/metrics`, { headers: { host: 'evil.example' } }).end()
    const [response] = (await once(asked, 'response')) as [{ statusCode: number; resume: () => void }]
    response.resume()
    expect(response.statusCode).toBe(403)
    await expect
      .poll(async () => bench.value('flambeau_http_requests_total', { route: '/metrics', status: '403' }))
      .toBe(1)
  })
})

describe('GET /metrics', () => {
  const scrape = async (): Promise<ReturnType<typeof parseExposition>> => {
    const response = await fetch(`${gateway.url}/metrics`)
    expect(response.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8')
    return parseExposition(await response.text())
  }
  const requests = async (labels: Record<string, string>): Promise<number> =>
    valueOf(await scrape(), 'flambeau_http_requests_total', labels) ?? 0

  it('counts requests by route and status, and paths that are none together', async () => {
    for (const path of ['/v1/models/nobody', '/nowhere/1', '/nowhere/2', '/v1/models']) await get(path)
    const families = await scrape()
    const count = (route: string, code: string): number | undefined =>
      valueOf(families, 'flambeau_http_requests_total', { route, status: code })
    expect([count('/v1/models/:model', '404'), count('other', '404'), count('/v1/models', '200')]).toEqual([1, 2, 1])
    expect(valueOf(families, 'flambeau_http_request_seconds_count', { route: '/v1/models' })).toBe(1)
    expect(JSON.stringify([...families])).not.toMatch(/nobody|nowhere/)
  })

  it('counts an answer that is streamed once, with its status', async () => {
    const headers = { 'content-type': 'application/json' }
    await (await fetch(`${gateway.url}/v1/chat/completions`, { method: 'POST', headers, body: chat('hi') })).text()
    const route = '/v1/chat/completions'
    await expect.poll(async () => requests({ route, status: '200' })).toBe(1)
    expect(await bench.value('flambeau_answers_total', { model: 'Toy', outcome: 'ok' })).toBe(1)
    expect(await bench.value('flambeau_generated_tokens_total', { model: 'Toy' })).toBe(1)
  })

  it('counts as aborted what the client did not wait for', async () => {
    const headers = { 'content-type': 'application/json' }
    const asked = request(`${gateway.url}/v1/chat/completions`, { method: 'POST', headers })
    const body: unknown = JSON.parse(chat('wait'))
    asked.end(JSON.stringify({ ...(body as object), stream: false }))
    await expect.poll(async () => bench.value('flambeau_answers_running')).toBe(1)
    asked.on('error', () => undefined).destroy()
    await expect.poll(async () => requests({ route: '/v1/chat/completions', status: 'aborted' })).toBe(1)
    await expect.poll(async () => bench.value('flambeau_answers_total', { model: 'Toy', outcome: 'cancelled' })).toBe(1)
    expect(await bench.value('flambeau_answers_running')).toBe(0)
  })
})
