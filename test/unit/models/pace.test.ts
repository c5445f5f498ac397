import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { Pace } from '../../../node/models/pace.js'
import type { Chunk } from '../../../node/swarm/wire.js'

const SETTINGS = { silenceMilliseconds: 1000, bytesPerSecond: 100 }

beforeEach(() => {
  vi.useFakeTimers()
})

afterEach(() => {
  vi.useRealTimers()
})

const pause = (milliseconds: number): Promise<void> => new Promise(resolve => setTimeout(resolve, milliseconds))

/** Chunks of `bytes`, each after `milliseconds`. */
async function* every(milliseconds: number, bytes: number, count = Infinity): AsyncGenerator<Chunk> {
  for (let i = 0; i < count; i++) {
    await pause(milliseconds)
    yield new Uint8Array(bytes)
  }
}

/** Chunks that came, and milliseconds until the end or until too slow. */
async function watched(source: AsyncGenerator<Chunk>, pace = new Pace(SETTINGS)): Promise<[number, number, string]> {
  const started = performance.now()
  const reading = (async (): Promise<[number, number, string]> => {
    let chunks = 0
    try {
      for await (const { byteLength } of pace.watch(source, new AbortController().signal)) chunks += Math.sign(byteLength)
      return [chunks, performance.now() - started, 'complete']
    } catch (error) {
      return [chunks, performance.now() - started, (error as { code: string }).code]
    }
  })()
  await vi.advanceTimersByTimeAsync(100_000)
  return reading
}

describe('Pace', () => {
  it('waits as long as it takes while bytes come fast enough', async () => {
    expect(await watched(every(900, 91, 50))).toEqual([50, 45_000, 'complete'])
  })

  it('does not wait in silence, whatever came before', async () => {
    async function* stops(): AsyncGenerator<Chunk> {
      yield* every(1, 1000, 10)
      await pause(50_000)
    }
    expect(await watched(stops())).toEqual([10, 1010, 'DEADLINE'])
  })

  it('does not wait for a few bytes now and then', async () => {
    const [chunks, milliseconds, end] = await watched(every(900, 1))
    expect([chunks, end]).toEqual([1, 'DEADLINE'])
    expect(milliseconds).toBeLessThan(1100)
  })

  it('gives no credit for the piece before', async () => {
    const pace = new Pace(SETTINGS)
    async function* fastThenSlow(): AsyncGenerator<Chunk> {
      yield* every(1, 10_000, 5)
      pace.restart()
      yield* every(900, 1)
    }
    const [chunks, , end] = await watched(fastThenSlow(), pace)
    expect(end).toBe('DEADLINE')
    expect(chunks).toBeLessThan(8)
  })

  it('does not count the time that its reader takes', async () => {
    const pace = new Pace(SETTINGS)
    const reading = (async (): Promise<number> => {
      let chunks = 0
      for await (const { byteLength } of pace.watch(every(10, 1, 5), new AbortController().signal)) {
        chunks += byteLength
        await pause(5000)
      }
      return chunks
    })()
    await vi.advanceTimersByTimeAsync(100_000)
    expect(await reading).toBe(5)
  })

  it('ends with the signal', async () => {
    const controller = new AbortController()
    const reading = new Pace(SETTINGS).watch(every(900, 1), controller.signal).next()
    controller.abort(new Error('enough'))
    await expect(reading).rejects.toThrow('enough')
  })
})
