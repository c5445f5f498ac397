import { readFile, stat, writeFile } from 'node:fs/promises'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { MAX_COUNTED_KEYS, USAGE_WRITE_MS } from '../../../../node/gateway/keys/constants.js'
import { DailyTokens } from '../../../../node/gateway/keys/daily-tokens.js'
import { temporaryFolder, type TemporaryFolder } from '../../../support/temporary.js'
import { waitFor } from '../../../support/wait-for.js'
import { NOON } from './keys.js'

const DAY_MS = 86_400_000
const hash = (i: number): string => i.toString(16).padStart(64, '0')

let files: TemporaryFolder
let file: string
const clock = { now: NOON }
const logger = { warn: vi.fn() }
const daily = (): DailyTokens => new DailyTokens({ now: () => clock.now, logger }, { file })

beforeEach(async () => {
  files = await temporaryFolder()
  file = files.file('keys-usage.json')
  clock.now = NOON
  logger.warn.mockClear()
})
afterEach(async () => {
  vi.useRealTimers()
  await files.remove()
})

describe('the tokens of a day', () => {
  it('are still spent after a restart', async () => {
    const first = daily()
    await first.start()
    first.add(hash(1), 30)
    first.add(hash(1), 12)
    first.add(hash(2), 1)
    expect(first.of(hash(1))).toBe(42)
    await first.stop()
    expect((await stat(file)).mode & 0o777).toBe(0o600)
    const second = daily()
    await second.start()
    expect([1, 2, 3].map(i => second.of(hash(i)))).toEqual([42, 1, 0])
  })

  it('are on disk soon, for a node that is killed', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    const tokens = daily()
    await tokens.start()
    tokens.add(hash(1), 30)
    vi.advanceTimersByTime(USAGE_WRITE_MS)
    vi.useRealTimers()
    await waitFor(async () => (await readFile(file, 'utf8')).includes(hash(1)), { what: 'the file' })
    const other = daily()
    await other.start()
    expect(other.of(hash(1))).toBe(30)
  })

  it('begin at zero at midnight by UTC, also where the node did not run then', async () => {
    const first = daily()
    await first.start()
    first.add(hash(1), 30)
    expect(first.secondsLeft()).toBe(12 * 3_600)
    await first.stop()
    clock.now += DAY_MS / 2 - 1
    expect([first.of(hash(1)), first.secondsLeft()]).toEqual([30, 1])
    clock.now++
    expect([first.of(hash(1)), first.secondsLeft()]).toEqual([0, 24 * 3_600])
    const second = daily()
    await second.start()
    expect(second.of(hash(1))).toBe(0)
  })

  it('are counted for a bounded number of keys, those who spent last', async () => {
    const tokens = daily()
    await tokens.start()
    for (let i = 0; i < MAX_COUNTED_KEYS; i++) tokens.add(hash(i), 1)
    tokens.add(hash(0), 1)
    tokens.add(hash(MAX_COUNTED_KEYS), 1)
    expect([0, 1, 2, MAX_COUNTED_KEYS].map(i => tokens.of(hash(i)))).toEqual([2, 0, 1, 1])
    await tokens.stop()
  })

  it('are no guess where the file is damaged', async () => {
    for (const text of [
      '',
      '{"day":"2026-06-15"',
      '{"day":"today","tokens":{}}',
      '{"day":"2026-06-15","tokens":{"x":1}}'
    ]) {
      await writeFile(file, text)
      await expect(daily().start()).rejects.toMatchObject({ code: 'KEYS_DAMAGED', details: { file } })
    }
  })

  it('go on being counted where they cannot be written', async () => {
    const tokens = new DailyTokens({ now: () => clock.now, logger }, { file: files.file('absent', 'file') })
    await tokens.start()
    tokens.add(hash(1), 3)
    await tokens.stop()
    expect(tokens.of(hash(1))).toBe(3)
    expect(logger.warn).toHaveBeenCalledOnce()
  })
})
