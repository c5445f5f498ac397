import { stat, writeFile } from 'node:fs/promises'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { MAX_HISTORY, WRITE_MS } from '../../../node/estimate/constants.js'
import {
  EstimateHistory,
  estimateView,
  experiences,
  readAnswers,
  type RememberedAnswer
} from '../../../node/estimate/history.js'
import { temporaryFolder, type TemporaryFolder } from '../../support/temporary.js'

const TIMES = { token: 0.02, prompt: 0.1, open: 0.05 }

function answer(at: number, changes: Partial<RememberedAnswer> = {}): RememberedAnswer {
  return {
    ...{ at, model: 'Toy', promptTokens: 9, cachedTokens: 0, generatedTokens: 32, recoveries: 0 },
    route: { manifest: 'ab'.repeat(32), stages: 2, ways: 2, path: 'me 0-4, b 4-8' },
    ...{ estimated: TIMES, told: { ...TIMES, token: 0.025 }, measured: { ...TIMES, token: 0.04 } },
    ...changes
  }
}

let folder: TemporaryFolder
let file: string
const logger = { warn: vi.fn() }
const warnings = (): unknown[] => logger.warn.mock.calls.map(([, message]) => message as unknown)
const open = async (): Promise<EstimateHistory> => {
  const history = new EstimateHistory({ logger }, { file })
  await history.start()
  return history
}

beforeEach(async () => {
  folder = await temporaryFolder()
  file = folder.file('estimates.json')
  logger.warn.mockClear()
})
afterEach(async () => {
  vi.useRealTimers()
  await folder.remove()
})

describe('the history of estimates', () => {
  it('is there again after a restart, in a file of its owner alone', async () => {
    const history = await open()
    history.add(answer(1))
    history.add(answer(2))
    await history.stop()
    expect((await stat(file)).mode & 0o777).toBe(0o600)
    expect((await open()).list()).toEqual([answer(1), answer(2)])
    expect(warnings()).toEqual([])
  })

  it('keeps the newest answers only', async () => {
    const history = await open()
    for (let at = 0; at < MAX_HISTORY + 5; at++) history.add(answer(at))
    await history.stop()
    const kept = (await open()).list()
    expect(kept.length).toBe(MAX_HISTORY)
    expect(kept[0]?.at).toBe(5)
  })

  it('is written once for several answers', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    const history = await open()
    history.add(answer(1))
    await vi.advanceTimersByTimeAsync(WRITE_MS - 1)
    expect(await readAnswers(file)).toEqual([])
    history.add(answer(2))
    expect(vi.getTimerCount()).toBe(1)
    await vi.advanceTimersByTimeAsync(1)
    vi.useRealTimers()
    await history.stop()
    expect(await readAnswers(file)).toEqual([answer(1), answer(2)])
  })

  it.each([
    ['no JSON', '[{'],
    ['of another form', '[{"at": 1}]'],
    ['too long', JSON.stringify(Array.from({ length: MAX_HISTORY + 1 }, (_, at) => answer(at)))]
  ])('starts anew with a warning where the file is %s', async (_, text) => {
    await writeFile(file, text)
    const history = await open()
    expect(history.list()).toEqual([])
    expect(warnings()).toEqual(['earlier estimates cannot be read; they start anew'])
    history.add(answer(1))
    await history.stop()
    expect(await readAnswers(file)).toEqual([answer(1)])
  })

  it('goes on where it cannot be written, and says so', async () => {
    const history = new EstimateHistory({ logger }, { file: folder.file('gone/estimates.json') })
    history.add(answer(1))
    await history.stop()
    expect(history.list().length).toBe(1)
    expect(warnings()).toEqual(['the estimates of the last answers cannot be written'])
  })

  it('shows tokens a second and first tokens, and learns from routes that stayed only', () => {
    expect(estimateView(answer(7))).toMatchObject({
      ...{ at: 7, model: 'Toy', stages: 2 },
      estimated: { tokensPerSecond: 40, firstTokenMs: expect.closeTo(150, 6) as number },
      measured: { tokensPerSecond: 25, firstTokenMs: expect.closeTo(150, 6) as number }
    })
    const short = answer(8, { measured: { ...TIMES, token: 0 } })
    expect(estimateView(short).measured.tokensPerSecond).toBe(0)
    expect(experiences([answer(1), answer(2, { recoveries: 1 })])).toEqual([answer(1)])
  })
})
