import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { request } from 'node:http'
import { join } from 'node:path'
import { describe, expect, it, vi } from 'vitest'
import type { GenerateEvent } from '../../../node/control/contract.js'
import { isLoopback } from '../../../node/gateway/access.js'
import { Authorization, type Caller } from '../../../node/gateway/authorization.js'
import { newSecret } from '../../../node/gateway/keys/key.js'
import { Gateway } from '../../../node/gateway/server.js'
import { keysAtHome, type KeysAtHome } from './keys/keys.js'
import { embed } from './no-embeddings.js'

const code = (value: string): Error => expect.objectContaining({ code: value }) as Error
const logger = { info: vi.fn(), warn: vi.fn(), error: vi.fn(), debug: vi.fn() }

async function* generate(): AsyncGenerator<GenerateEvent> {
  yield await Promise.resolve({ event: 'route', stages: [], promptTokens: 2, cachedTokens: 0 })
}

const service = { generate, embed, models: () => Promise.resolve([]) }
const of = ({ keyring }: KeysAtHome, required: boolean): Authorization =>
  new Authorization({ keyring, service }, { required })
const kinds = (caller: Caller): string => (caller.kind === 'key' ? caller.name : caller.kind)

describe('who asks', () => {
  it('on this machine alone is its owner, unless it sends a key', async () => {
    await using home = await keysAtHome()
    const { secret } = await home.add()
    const authorization = of(home, false)
    for (const sent of [undefined, '', 'Bearer none', 'Bearer sk-proj-x', 'Bearer', 'Basic eDp5', 'x']) {
      expect(kinds(authorization.identify({ authorization: sent }))).toBe('owner')
    }
    expect(kinds(authorization.identify({ authorization: `Bearer ${secret}` }))).toBe('ci')
    expect(kinds(authorization.identify({ authorization: `bearer  ${secret} ` }))).toBe('ci')
    expect(kinds(authorization.identify({ 'x-api-key': secret }))).toBe('ci')
    expect(kinds(authorization.identify({ authorization: 'Bearer none', 'x-api-key': secret }))).toBe('ci')
    expect(() => authorization.identify({ authorization: `Bearer ${newSecret()}` })).toThrow(code('INVALID_KEY'))
  })

  it('from elsewhere is nobody without a valid key', async () => {
    await using home = await keysAtHome()
    const { key, secret } = await home.add()
    const authorization = of(home, true)
    const keys = [undefined, 'none', 'sk-proj-x', newSecret(), key.hash, `${secret}A`]
    for (const sent of keys) {
      const headers = { ...(sent !== undefined && { authorization: `Bearer ${sent}` }) }
      expect(() => authorization.identify(headers)).toThrow(code('INVALID_KEY'))
    }
    expect(kinds(authorization.identify({ authorization: `Bearer ${secret}` }))).toBe('ci')
    await home.folder.remove('ci')
    expect(() => authorization.identify({ authorization: `Bearer ${secret}` })).toThrow(code('INVALID_KEY'))
  })

  it('may not ask more often than its key may, and is told when it may again', async () => {
    await using home = await keysAtHome()
    const { secret } = await home.add({ rpm: 3 })
    const authorization = of(home, false)
    const ask = (): Caller => authorization.identify({ authorization: `Bearer ${secret}` })
    for (let i = 0; i < 3; i++) ask()
    home.clock.now += 5_500
    expect(ask).toThrow(expect.objectContaining({ code: 'RATE_LIMITED', details: { rpm: 3, retryAfterSeconds: 15 } }))
    home.clock.now += 14_500
    ask()
    expect(ask).toThrow(code('RATE_LIMITED'))
  })

  it('is asked of nobody whose caller is not known', () => {
    const authorization = new Authorization({ keyring: undefined, service }, { required: false })
    expect(() => authorization.serviceFor(undefined)).toThrow(code('INVALID_KEY'))
    expect(() => authorization.identify({ authorization: `Bearer ${newSecret()}` })).toThrow(code('INVALID_KEY'))
  })
})

it.each([
  ...[['localhost', true] as const, ['127.0.0.1', true] as const, ['127.1.2.3', true] as const, ['::1', true] as const],
  ...[['0.0.0.0', false] as const, ['::', false] as const, ['192.168.1.2', false] as const],
  ...[['localhost.example', false] as const, ['attic', false] as const, ['', false] as const]
])('%s is this machine alone: %s', (host, expected) => {
  expect(isLoopback(host)).toBe(expected)
})

/** On all addresses. */
async function opened(home: KeysAtHome): Promise<Gateway & AsyncDisposable> {
  const parts = { service, logger, keyring: home.another() }
  const gateway = new Gateway(parts, { listen: { host: '0.0.0.0', port: 0 }, origins: ['https://chat.example.org'] })
  await gateway.start()
  return Object.assign(gateway, { [Symbol.asyncDispose]: async () => gateway.stop() })
}

const urlOf = ({ url = '' }: Gateway): string => url.replace('0.0.0.0', '127.0.0.1')

describe('a gateway that other machines reach', () => {
  it('does not start without a valid key', async () => {
    await using home = await keysAtHome()
    await expect(opened(home)).rejects.toThrow(code('KEYS_NEEDED'))
    await home.add({ expires: new Date(home.clock.now).toISOString() })
    await expect(opened(home)).rejects.toThrow(code('KEYS_NEEDED'))
    const without = new Gateway({ service, logger }, { listen: { host: '0.0.0.0', port: 0 }, origins: [] })
    await expect(without.start()).rejects.toThrow(code('KEYS_NEEDED'))
    await home.add({ name: 'valid' })
    await writeFile(join(home.folder.path, `${'0'.repeat(32)}.json`), '')
    await expect(opened(home)).rejects.toThrow(code('KEYS_DAMAGED'))
  })

  it('wants a key for everything, whatever it is called', async () => {
    await using home = await keysAtHome()
    const { secret } = await home.add()
    await using gateway = await opened(home)
    for (const path of ['/v1/models', '/v1/models/x', '/v1/nothing', '/', '/v1/chat/completions', '/%00']) {
      const response = await fetch(`${urlOf(gateway)}${path}`)
      expect([response.status, response.headers.get('www-authenticate')]).toEqual([401, 'Bearer'])
      expect(await response.json()).toMatchObject({ error: { type: 'invalid_request_error', code: 'invalid_api_key' } })
    }
    const headers = { host: 'attic.example:80', authorization: `Bearer ${secret}` }
    const asking = request(`${urlOf(gateway)}/v1/models`, { headers }).end()
    const [response] = (await once(asking, 'response')) as [{ statusCode: number; resume: () => void }]
    response.resume()
    expect(response.statusCode).toBe(200)
  })

  it('lets a page ask whether it may, which carries no key, and reads no body without one', async () => {
    await using home = await keysAtHome()
    const { secret } = await home.add()
    await using gateway = await opened(home)
    const origin = 'https://chat.example.org'
    const preflight = { method: 'OPTIONS', headers: { origin, 'access-control-request-headers': 'authorization' } }
    const { status, headers } = await fetch(`${urlOf(gateway)}/v1/models`, preflight)
    expect([status, headers.get('access-control-allow-headers')]).toEqual([204, 'authorization'])
    const foreign = { origin: 'https://evil.example', authorization: `Bearer ${secret}` }
    expect((await fetch(`${urlOf(gateway)}/v1/models`, { headers: foreign })).status).toBe(403)
    const body = { method: 'POST', body: '{"model": ', headers: { 'content-type': 'application/json' } }
    expect((await fetch(`${urlOf(gateway)}/v1/chat/completions`, body)).status).toBe(401)
  })

  it('says when to ask again, and nothing of what is wrong with its keys', async () => {
    await using home = await keysAtHome()
    const { secret } = await home.add({ rpm: 1 })
    await using gateway = await opened(home)
    const ask = async (): Promise<Response> =>
      fetch(`${urlOf(gateway)}/v1/models`, { headers: { authorization: `Bearer ${secret}` } })
    expect((await ask()).status).toBe(200)
    const limited = await ask()
    expect([limited.status, limited.headers.get('retry-after')]).toEqual([429, '60'])
    expect(await limited.json()).toMatchObject({ error: { type: 'requests', code: 'rate_limit_exceeded' } })
    await writeFile(join(home.folder.path, `${'0'.repeat(32)}.json`), '')
    const damaged = await ask()
    expect([damaged.status, (await damaged.text()).includes(home.folder.path)]).toEqual([500, false])
    expect(logger.error).toHaveBeenCalledOnce()
  })
})
