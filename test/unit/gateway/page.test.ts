import { once } from 'node:events'
import { readdir } from 'node:fs/promises'
import { type ClientRequest, type IncomingMessage, request } from 'node:http'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { DRAIN_MS } from '../../../node/availability/constants.js'
import type { StatusView } from '../../../node/control/contract.js'
import type { ControlService } from '../../../node/control/service.js'
import { MAX_LISTENERS } from '../../../node/gateway/page/constants.js'
import { Feed } from '../../../node/gateway/page/feed.js'
import { FILE_PATHS } from '../../../node/gateway/page/files.js'
import type { Caller } from '../../../node/gateway/authorization.js'
import { requireOwner } from '../../../node/gateway/page/owner.js'
import type { PageParts } from '../../../node/gateway/page/page.js'
import { Gateway } from '../../../node/gateway/server.js'
import { PipelineError } from '../../../node/pipeline/errors.js'
import { PLAN } from '../control/memory-service.js'
import { STATUS } from '../metrics/bench.js'
import { embed } from './no-embeddings.js'

const ALLOWED = 'https://chat.example.org'
const STATIC = new URL('../../../node/gateway/page/static/', import.meta.url)
const ONLINE = STATUS.availability
const logger = { info: vi.fn(), warn: vi.fn(), error: vi.fn(), debug: vi.fn() }

const SECRET = 'a'.repeat(43)
const OWNER = { 'x-flambeau-owner': SECRET }

let status: StatusView = STATUS
let invitation = 'flambeau:abc'
const pause = vi.fn(() => Promise.resolve(ONLINE))
const resume = vi.fn(() => Promise.resolve(ONLINE))
const stop = vi.fn(() => Promise.resolve())
const plan = vi.fn<ControlService['plan']>(() => Promise.resolve(PLAN))
const page: PageParts = {
  service: {
    ...{ plan, pause, resume, stop },
    status: () => Promise.resolve(status),
    invite: () => Promise.resolve({ invitation, name: 'ours', closed: true })
  },
  known: () => ({ peers: [], models: [] }),
  accuracy: () => Promise.resolve({ answers: 1, tokensPerSecond: undefined, firstToken: 0.5 }),
  secret: SECRET,
  positions: () => 7
}
const service = { models: () => Promise.resolve([]), generate: vi.fn(), embed }
const gateway = new Gateway({ service, logger, page }, { listen: { host: '127.0.0.1', port: 0 }, origins: [ALLOWED] })

beforeAll(async () => gateway.start())
afterAll(async () => gateway.stop())

const get = async (path: string, headers: Record<string, string> = {}): Promise<Response> =>
  fetch(`${gateway.url}${path}`, { headers: { ...OWNER, ...headers } })

const post = async (path: string, body: string, headers: Record<string, string> = {}): Promise<Response> =>
  fetch(`${gateway.url}${path}`, {
    ...{ method: 'POST', body },
    headers: { ...OWNER, 'content-type': 'application/json', ...headers }
  })

const codeOf = async (response: Response): Promise<[number, string]> => {
  const { error } = (await response.json()) as { error: { code: string } }
  return [response.status, error.code]
}

/** With headers that `fetch` keeps to itself. */
async function open(path: string, headers: Record<string, string> = {}): Promise<[ClientRequest, IncomingMessage]> {
  const asking = request(`${gateway.url}${path}`, { headers: { ...OWNER, ...headers } }).on('error', () => undefined)
  asking.end()
  const [response] = (await once(asking, 'response')) as [IncomingMessage]
  return [asking, response]
}

/** Reads an event stream until it has said `text`. */
async function untilSaid(response: IncomingMessage, text: string): Promise<string> {
  let said = ''
  response.setEncoding('utf8')
  for await (const part of response.iterator({ destroyOnReturn: false })) {
    said += String(part)
    if (said.includes(text)) return said
  }
  throw new Error(`the stream ended with: ${said}`)
}

describe('the files of the page', () => {
  it('load nothing from elsewhere, run no foreign script and are shown in no frame', async () => {
    for (const path of FILE_PATHS) {
      const { status: code, headers } = await get(path)
      expect([path, code]).toEqual([path, 200])
      expect(headers.get('content-security-policy')).toBe(
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; " +
          "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
      )
      expect(headers.get('x-content-type-options')).toBe('nosniff')
      expect(headers.get('referrer-policy')).toBe('no-referrer')
      expect(headers.get('cache-control')).toBe('no-cache')
    }
  })

  it('are all that the folder has', async () => {
    const served = FILE_PATHS.map(path => path.replace('/page/', '').replace(/^\/$/, 'index.html'))
    expect(served.sort()).toEqual((await readdir(STATIC)).sort())
  })

  it('are sent once to whoever has them', async () => {
    const etag = (await get('/')).headers.get('etag') ?? ''
    const again = await get('/', { 'if-none-match': etag })
    expect([again.status, await again.text()]).toEqual([304, ''])
    expect((await get('/', { 'if-none-match': '"older"' })).status).toBe(200)
  })

  it('are the only ones, whatever path is asked for', async () => {
    const paths = ['/page', '/page/', '/page/files.ts', '/page/..%2ffiles.js', '/page/%2e%2e/feed.js', '/index.html']
    for (const path of paths) expect([path, ...(await codeOf(await get(path)))]).toEqual([path, 404, 'unknown_path'])
  })

  it('need no key where everything else does', async () => {
    const keyring = { start: vi.fn(), stop: vi.fn(), hasAny: () => true, find: () => undefined }
    const everywhere = new Gateway(
      { service, logger, page, keyring: keyring as never },
      { listen: { host: '0.0.0.0', port: 0 }, origins: [] }
    )
    await everywhere.start()
    const url = everywhere.url?.replace('0.0.0.0', '127.0.0.1') ?? ''
    expect((await fetch(url)).status).toBe(200)
    for (const path of ['/page/events', '/page/invitation', '/page/estimates', '/v1/models']) {
      expect(await codeOf(await fetch(`${url}${path}`))).toEqual([401, 'invalid_api_key'])
    }
    await everywhere.stop()
  })
})

describe('what the page asks', () => {
  it('is for the owner, and not for a key', () => {
    const key = { kind: 'key', name: 'guest', key: {} as never } as const
    const refused = expect.objectContaining({ code: 'OWNER_ONLY' }) as Error
    const ask = (caller: Caller | undefined, headers: Record<string, string> = OWNER) => {
      return () => requireOwner({ caller, headers }, { secret: SECRET })
    }
    expect(ask(key)).toThrow(refused)
    expect(ask(undefined)).toThrow(refused)
    expect(ask({ kind: 'owner' })).not.toThrow()
    // Another user of the machine, who does not know the secret.
    for (const wrong of ['', 'a', 'b'.repeat(43), SECRET.toUpperCase()]) {
      expect(ask({ kind: 'owner' }, { 'x-flambeau-owner': wrong })).toThrow(refused)
    }
    expect(ask({ kind: 'owner' }, {})).toThrow(refused)
    expect(gateway.pageUrl).toBe(`${gateway.url}/#owner=${SECRET}`)
  })

  it.each(['/page/events', '/page/invitation', '/page/estimates'])('is %s of this page alone', async path => {
    for (const site of ['cross-site', 'same-site', 'other']) {
      const [asking, response] = await open(path, { 'sec-fetch-site': site })
      expect([site, response.statusCode]).toEqual([site, 403])
      asking.destroy()
    }
    for (const site of ['same-origin', 'none']) {
      const [asking, response] = await open(path, { 'sec-fetch-site': site })
      expect([site, response.statusCode]).toEqual([site, 200])
      asking.destroy()
    }
  })

  it('is not for an origin that may only ask the swarm', async () => {
    expect((await get('/v1/models', { origin: ALLOWED })).status).toBe(200)
    expect(await codeOf(await get('/page/invitation', { origin: ALLOWED }))).toEqual([403, 'foreign_origin'])
    for (const path of ['/page/plan', '/page/pause', '/page/resume', '/page/drain']) {
      for (const origin of [ALLOWED, 'https://evil.example', 'null', 'http://localhost:1']) {
        expect(await codeOf(await post(path, '{}', { origin }))).toEqual([403, 'foreign_origin'])
      }
    }
    expect([plan, pause, resume, stop].map(action => action.mock.calls.length)).toEqual([0, 0, 0, 0])
  })

  it('has to be JSON that is understood', async () => {
    for (const path of ['/page/pause', '/page/resume', '/page/drain']) {
      for (const type of ['text/plain', 'application/x-www-form-urlencoded']) {
        expect(await codeOf(await post(path, '{}', { 'content-type': type }))).toEqual([415, 'bad_request'])
      }
      const bare = await fetch(`${gateway.url}${path}`, { method: 'POST', headers: OWNER })
      expect(await codeOf(bare)).toEqual([400, 'bad_request'])
      expect(await codeOf(await post(path, '{"now": true}'))).toEqual([400, 'unsupported_parameter'])
    }
    expect(await codeOf(await post('/page/pause', '{"seconds": -1}'))).toEqual([400, 'bad_request'])
    expect([pause, resume, stop].map(action => action.mock.calls.length)).toEqual([0, 0, 0])
  })

  it('is what to expect of a model, and how far off that was of late', async () => {
    const response = await post('/page/plan', '{"model": "ab12ef", "promptTokens": 2000}')
    expect(await response.json()).toEqual(PLAN)
    expect(plan.mock.lastCall?.[0]).toEqual({ model: 'ab12ef', promptTokens: 2_000 })
    expect(await (await get('/page/estimates')).json()).toEqual({ answers: 1, firstToken: 0.5 })
  })

  it('is of a model of the swarm, and not of whatever file somebody names', async () => {
    const before = plan.mock.calls.length
    const file = await post('/page/plan', '{"file": "/etc/passwd"}')
    expect(await codeOf(file)).toEqual([400, 'bad_request'])
    const both = await post('/page/plan', '{"model": "ab12ef", "file": "/etc/passwd"}')
    expect(await codeOf(both)).toEqual([400, 'unsupported_parameter'])
    for (const promptTokens of [0, -1, 1.5, 2 ** 23]) {
      const asked = await post('/page/plan', JSON.stringify({ model: 'ab12ef', promptTokens }))
      expect(await codeOf(asked)).toEqual([400, 'bad_request'])
    }
    expect(plan.mock.calls.length).toBe(before)
    plan.mockRejectedValueOnce(new PipelineError('UNKNOWN_MODEL', 'Nobody offers it.'))
    expect(await codeOf(await post('/page/plan', '{"model": "ab12ef"}'))).toEqual([404, 'model_not_found'])
  })

  it('is estimated no further once its asker has left', async () => {
    const asked = Promise.withResolvers<AbortSignal>()
    plan.mockImplementationOnce(async (_request, { signal = AbortSignal.abort() } = {}) => {
      asked.resolve(signal)
      await once(signal, 'abort')
      signal.throwIfAborted()
      return PLAN
    })
    const leaving = new AbortController()
    const answer = fetch(`${gateway.url}/page/plan`, {
      ...{ method: 'POST', body: '{"model": "ab12ef"}', signal: leaving.signal },
      headers: { ...OWNER, 'content-type': 'application/json' }
    })
    const signal = await asked.promise
    expect(signal.aborted).toBe(false)
    leaving.abort()
    await expect(answer).rejects.toThrow()
    await expect.poll(() => signal.aborted).toBe(true)
  })

  it('is done', async () => {
    const origin = gateway.url ?? ''
    expect(await (await post('/page/pause', '{"seconds": 60}', { origin })).json()).toEqual(ONLINE)
    expect(pause).toHaveBeenLastCalledWith({ seconds: 60 })
    await post('/page/pause', '{}')
    expect(pause).toHaveBeenLastCalledWith({})
    expect((await post('/page/resume', '{}')).status).toBe(200)
    expect(resume).toHaveBeenCalledOnce()
    expect((await post('/page/drain', '{}')).status).toBe(202)
    expect(stop).toHaveBeenCalledWith({ drainSeconds: DRAIN_MS / 1_000 })
  })

  it('is an invitation with its code, or without where none has room for it', async () => {
    const response = await get('/page/invitation')
    expect(response.headers.get('cache-control')).toBe('no-store')
    const view = (await response.json()) as { qr: string }
    expect(view).toMatchObject({ invitation: 'flambeau:abc', name: 'ours', closed: true })
    expect(view.qr).toMatch(/^<svg [^>]*>.*<\/svg>$/s)
    invitation = 'x'.repeat(3_000)
    expect(await (await get('/page/invitation')).json()).toEqual({ invitation, name: 'ours', closed: true })
  })
})

describe('the events', () => {
  it('tell everything at first, then what has changed and nothing else', async () => {
    const [asking, response] = await open('/page/events')
    expect(response.headers['content-type']).toBe('text/event-stream; charset=utf-8')
    const first = await untilSaid(response, 'event: models')
    expect([...first.matchAll(/^event: (\w+)$/gm)].map(([, name]) => name)).toEqual(['status', 'peers', 'models'])
    expect(first).toContain('"positions":7')
    expect(first).not.toMatch(/uptimeSeconds|"pid"|"home"/)
    status = { ...STATUS, name: 'renamed', uptimeSeconds: 99 }
    const next = await untilSaid(response, 'renamed')
    expect([...next.matchAll(/^event: (\w+)$/gm)].map(([, name]) => name)).toEqual(['status'])
    asking.destroy()
    status = STATUS
  })

  it('have so many listeners, and room again when one leaves', async () => {
    // Those of the tests before may still be leaving.
    const opened: ClientRequest[] = []
    await expect
      .poll(async () => {
        while (opened.length < MAX_LISTENERS) {
          const [asking, response] = await open('/page/events')
          if (response.statusCode !== 200) return opened.length
          opened.push(asking)
        }
        return opened.length
      })
      .toBe(MAX_LISTENERS)
    expect(await codeOf(await get('/page/events'))).toEqual([529, 'overloaded'])
    opened.pop()?.destroy()
    await expect
      .poll(async () => {
        const [asking, { statusCode }] = await open('/page/events')
        asking.destroy()
        return statusCode
      })
      .toBe(200)
    for (const asking of opened) asking.destroy()
  })

  it('look at nothing while nobody listens', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    try {
      const read = vi.fn(() => Promise.resolve({ status: {} }))
      const feed = new Feed({ read, logger })
      const raw = Object.assign(new EventTarget(), {
        ...{ writeHead: vi.fn(), write: vi.fn(() => true), end: vi.fn(), destroyed: false, writableNeedDrain: false },
        once: vi.fn()
      })
      await feed.listen({ raw, hijack: vi.fn(), getHeaders: () => ({}) } as never)
      await vi.advanceTimersByTimeAsync(3_000)
      expect([feed.listeners, read.mock.calls.length, raw.write.mock.calls.length]).toEqual([1, 4, 1])
      const [, onClose] = raw.once.mock.calls[0] as [string, () => void]
      onClose()
      await vi.advanceTimersByTimeAsync(10_000)
      expect([feed.listeners, read.mock.calls.length, vi.getTimerCount()]).toEqual([0, 4, 0])
    } finally {
      vi.useRealTimers()
    }
  })

  it('skip what comes while a page reads too slowly, and tell it the newest then', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    try {
      let count = 0
      const feed = new Feed({ read: () => Promise.resolve({ status: { count: ++count } }), logger })
      const write = vi.fn<(text: string) => boolean>(() => true)
      const raw = { writeHead: vi.fn(), write, end: vi.fn(), once: vi.fn(), destroyed: false, writableNeedDrain: false }
      await feed.listen({ raw, hijack: vi.fn(), getHeaders: () => ({}) } as never)
      raw.writableNeedDrain = true
      await vi.advanceTimersByTimeAsync(3_000)
      raw.writableNeedDrain = false
      await vi.advanceTimersByTimeAsync(1_000)
      expect(write.mock.calls.map(([text]) => /"count":(\d+)/.exec(text)?.[1])).toEqual(['1', '5'])
      feed.stop()
      expect(vi.getTimerCount()).toBe(0)
    } finally {
      vi.useRealTimers()
    }
  })

  it('end when the gateway stops', async () => {
    const other = new Gateway({ service, logger, page }, { listen: { host: '127.0.0.1', port: 0 }, origins: [] })
    await other.start()
    const response = await fetch(`${other.url}/page/events`, { headers: OWNER })
    await other.stop()
    await expect(response.text().catch(() => 'cut off')).resolves.toContain('event: status')
  })
})
