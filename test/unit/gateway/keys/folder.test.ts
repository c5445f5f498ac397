import { mkdir, readdir, readFile, stat, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { MAX_KEYS, SETTLE_MS } from '../../../../node/gateway/keys/constants.js'
import { KeyFolder } from '../../../../node/gateway/keys/folder.js'
import { digestOf, looksLikeSecret, newSecret } from '../../../../node/gateway/keys/key.js'
import { temporaryFolder, type TemporaryFolder } from '../../../support/temporary.js'
import { makeKey } from './keys.js'

const code = (value: string): Error => expect.objectContaining({ code: value }) as Error

let files: TemporaryFolder
let folder: KeyFolder

beforeEach(async () => {
  files = await temporaryFolder()
  folder = new KeyFolder(files.file('keys'))
})
afterEach(async () => files.remove())

describe('a secret', () => {
  it('is random, told apart from what other clients send, and only its hash is stored', async () => {
    const { key, secret } = makeKey()
    expect(secret).toMatch(/^flambeau-[A-Za-z0-9_-]{43}$/)
    expect(newSecret()).not.toBe(secret)
    expect(['none', 'sk-proj-x', '', secret].map(looksLikeSecret)).toEqual([false, false, false, true])
    await folder.add(key)
    const [file = ''] = await readdir(folder.path)
    const text = await readFile(join(folder.path, file), 'utf8')
    expect(text).toContain(digestOf(secret).toString('hex'))
    expect(text).not.toContain(secret.slice('flambeau-'.length))
  })
})

describe('the folder of keys', () => {
  it('has what was added, by name, for its owner only', async () => {
    expect(folder.list()).toEqual([])
    const keys = [makeKey({ name: 'b', rpm: 60, models: ['ember'] }).key, makeKey({ name: 'a/../ü' }).key]
    for (const key of keys) await folder.add(key)
    expect(folder.list()).toEqual([...keys].reverse())
    expect((await stat(folder.path)).mode & 0o777).toBe(0o700)
    const stored = await readdir(folder.path)
    expect(stored).toHaveLength(2)
    for (const file of stored) expect((await stat(join(folder.path, file))).mode & 0o777).toBe(0o600)
  })

  it('has nothing of what was removed', async () => {
    await folder.add(makeKey().key)
    await folder.remove('ci')
    expect(folder.list()).toEqual([])
    await expect(folder.remove('ci')).rejects.toThrow(code('KEY_UNKNOWN'))
    await expect(folder.remove('../keys-usage')).rejects.toThrow(code('KEY_UNKNOWN'))
  })

  it('keeps every key that is added or removed at the same time, and one of each name', async () => {
    const names = Array.from({ length: 20 }, (_, i) => `key ${i}`)
    await Promise.all(names.slice(0, 10).map(async name => folder.add(makeKey({ name }).key)))
    await Promise.all([
      ...names.slice(10).map(async name => folder.add(makeKey({ name }).key)),
      ...names.slice(0, 5).map(async name => folder.remove(name))
    ])
    expect(folder.list().map(({ name }) => name)).toEqual([...names.slice(5)].sort((a, b) => a.localeCompare(b)))
    const same = await Promise.allSettled(
      names.map(async () => new KeyFolder(folder.path).add(makeKey({ name: 'same' }).key))
    )
    expect(same.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
    for (const one of same) if (one.status === 'rejected') expect(one.reason).toEqual(code('KEY_EXISTS'))
    expect((await readdir(folder.path)).every(file => file.endsWith('.json'))).toBe(true)
  })

  it('never replaces a key', async () => {
    const { key } = makeKey()
    await folder.add(key)
    await expect(folder.add(makeKey({ rpm: 1 }).key)).rejects.toThrow(code('KEY_EXISTS'))
    expect(folder.list()).toEqual([key])
  })

  it('says which file is damaged, and lets it be removed', async () => {
    const { key } = makeKey()
    await folder.add(key)
    const [file = ''] = await readdir(folder.path)
    const path = join(folder.path, file)
    const whole = await readFile(path, 'utf8')
    const damaged = ['', whole.slice(0, 40), '[]', JSON.stringify({ ...key, rpm: 0 }), JSON.stringify({ ...key, x: 1 })]
    for (const text of [...damaged, JSON.stringify({ ...key, name: 'other' })]) {
      await writeFile(path, text)
      expect(() => folder.list()).toThrow(expect.objectContaining({ code: 'KEYS_DAMAGED', details: { file: path } }))
    }
    await folder.remove('ci')
    expect(folder.list()).toEqual([])
  })

  it('passes over what a command that was killed has left', async () => {
    await folder.add(makeKey().key)
    await writeFile(join(folder.path, `${'0'.repeat(32)}.draft`), '{')
    expect(folder.list()).toHaveLength(1)
  })

  it('takes so many keys and no more', async () => {
    await mkdir(folder.path)
    const name = (i: number): string => `${i.toString(16).padStart(32, '0')}.json`
    for (let i = 1; i < MAX_KEYS; i++) await writeFile(join(folder.path, name(i)), '')
    await folder.add(makeKey().key)
    await expect(folder.add(makeKey({ name: 'more' }).key)).rejects.toThrow(code('KEYS_FULL'))
    expect(await readdir(folder.path)).toHaveLength(MAX_KEYS)
  })

  it('takes any name that can be printed', async () => {
    const names = fc
      .string({ unit: 'grapheme', minLength: 1, maxLength: 8 })
      .filter(name => !/[\p{C}\p{Z}]/u.test(name))
    await fc.assert(
      fc.asyncProperty(names, async name => {
        const { key } = makeKey({ name })
        await folder.add(key)
        expect(folder.list()).toEqual([key])
        await folder.remove(name)
      }),
      { numRuns: 30 }
    )
  })

  it('is known to be the same only when its last change is long past', async () => {
    const now = Date.now()
    expect(folder.mark(now)).toBe('none')
    await folder.add(makeKey().key)
    expect(folder.mark(Date.now())).toBeUndefined()
    const later = Date.now() + SETTLE_MS + 100
    const before = folder.mark(later)
    expect(before).toBeDefined()
    expect(folder.mark(later + 1_000)).toBe(before)
    await folder.remove('ci')
    await utimes(folder.path, new Date(now), new Date(now)) // whoever sets the clock back deceives nobody
    expect(folder.mark(Date.now() + SETTLE_MS + 100)).not.toBe(before)
  })
})
