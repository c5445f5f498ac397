import * as crypto from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { LOOK_MS, SETTLE_MS } from '../../../../node/gateway/keys/constants.js'
import { newSecret } from '../../../../node/gateway/keys/key.js'
import { keysAtHome } from './keys.js'

vi.mock('node:crypto', async original => {
  const real: typeof crypto = await original()
  return { ...real, timingSafeEqual: vi.fn(real.timingSafeEqual) }
})

const code = (value: string): Error => expect.objectContaining({ code: value }) as Error

afterEach(() => void vi.useRealTimers())

describe('a ring of keys', () => {
  it('finds a key by its secret alone, as soon as it is there and no longer than that', async () => {
    await using home = await keysAtHome()
    const { keyring, folder } = home
    expect(keyring.hasAny()).toBe(false)
    const { key, secret } = await home.add()
    expect(keyring.find(secret)?.key).toEqual(key)
    for (const other of [newSecret(), `${secret}x`, secret.slice(0, -1), '', key.hash, key.name]) {
      expect(keyring.find(other)).toBeUndefined()
    }
    await folder.remove(key.name)
    expect(keyring.find(secret)).toBeUndefined()
    const again = await home.add()
    expect(keyring.find(again.secret)?.key).toEqual(again.key)
    expect(keyring.find(secret)).toBeUndefined()
  })

  it('sees a key go that it has had in memory for long', async () => {
    await using home = await keysAtHome()
    const { key, secret } = await home.add()
    home.clock.now = Date.now() + 2 * SETTLE_MS
    const list = vi.spyOn(Object.getPrototypeOf(home.folder) as typeof home.folder, 'list')
    for (let i = 0; i < 10; i++) expect(home.keyring.find(secret)).toBeDefined()
    expect(list).toHaveBeenCalledOnce()
    list.mockRestore()
    await home.folder.remove(key.name)
    expect(home.keyring.find(secret)).toBeUndefined()
  })

  it('compares the hash with that of every key, each in constant time', async () => {
    await using home = await keysAtHome()
    const { secret } = await home.add({ name: 'a' })
    for (const name of ['b', 'c']) await home.add({ name })
    for (const tried of [secret, newSecret()]) {
      vi.mocked(crypto.timingSafeEqual).mockClear()
      home.keyring.find(tried)
      const lengths = vi.mocked(crypto.timingSafeEqual).mock.calls.map(pair => pair.map(part => part.byteLength))
      expect(lengths).toEqual(Array.from({ length: 3 }, () => [32, 32]))
    }
  })

  it('knows no key that has expired', async () => {
    await using home = await keysAtHome()
    const { secret } = await home.add({ expires: new Date(home.clock.now + 1_000).toISOString() })
    home.clock.now += 999
    expect(home.keyring.find(secret)).toBeDefined()
    home.clock.now++
    expect(home.keyring.find(secret)).toBeUndefined()
    expect(home.keyring.hasAny()).toBe(false)
  })

  it('counts the requests of a key on while other keys come and go', async () => {
    await using home = await keysAtHome()
    const { key, secret } = await home.add({ rpm: 2 })
    const take = (): boolean | undefined => home.keyring.find(secret)?.rate?.take(key.hash)
    expect([take(), take()]).toEqual([true, true])
    await home.add({ name: 'other' })
    expect(take()).toBe(false)
    expect(home.keyring.find(secret)?.rate?.wait(key.hash)).toBe(30_000)
    home.clock.now += 30_000
    expect([take(), take()]).toEqual([true, false])
  })

  it('lets nobody in by keys that cannot be read', async () => {
    await using home = await keysAtHome()
    const { secret } = await home.add()
    await writeFile(join(home.folder.path, `${'0'.repeat(32)}.json`), '{}')
    expect(() => home.keyring.find(secret)).toThrow(code('KEYS_DAMAGED'))
    await expect(home.another().start()).rejects.toThrow(code('KEYS_DAMAGED'))
  })
})

describe('answers under way', () => {
  it('end when their key is revoked or expires, and only those', async () => {
    await using home = await keysAtHome()
    vi.useFakeTimers()
    const [a, b, c] = [
      await home.add({ name: 'a' }),
      await home.add({ name: 'b', expires: new Date(home.clock.now + 1).toISOString() }),
      await home.add({ name: 'c' })
    ]
    using first = home.keyring.underWay(a.key, undefined)
    using second = home.keyring.underWay(b.key, undefined)
    using third = home.keyring.underWay(c.key, undefined)
    vi.advanceTimersByTime(2 * LOOK_MS)
    expect([first, second, third].map(({ signal }) => signal.aborted)).toEqual([false, false, false])
    await home.folder.remove('a')
    home.clock.now++
    vi.advanceTimersByTime(LOOK_MS)
    expect([first, second, third].map(({ signal }) => signal.aborted)).toEqual([true, true, false])
    expect(first.signal.reason).toEqual(code('INVALID_KEY'))
  })

  it('end when keys cannot be read any more', async () => {
    await using home = await keysAtHome()
    vi.useFakeTimers()
    const { key } = await home.add()
    using answer = home.keyring.underWay(key, undefined)
    await writeFile(join(home.folder.path, `${'0'.repeat(32)}.json`), '{}')
    vi.advanceTimersByTime(LOOK_MS)
    expect(answer.signal.aborted).toBe(true)
    expect(home.logger.error).toHaveBeenCalledOnce()
  })

  it('end with their client, and are not looked after when they are over', async () => {
    await using home = await keysAtHome()
    vi.useFakeTimers()
    const { key } = await home.add()
    const client = new AbortController()
    {
      using answer = home.keyring.underWay(key, client.signal)
      client.abort(new Error('gone'))
      expect(answer.signal.reason).toEqual(new Error('gone'))
      expect(vi.getTimerCount()).toBe(1)
    }
    expect(vi.getTimerCount()).toBe(0)
    using late = home.keyring.underWay(key, client.signal)
    expect(late.signal.aborted).toBe(true)
  })
})
