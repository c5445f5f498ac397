import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { Periodic } from '../../../node/swarm/periodic.js'
import { silent } from './nodes.js'

beforeEach(() => vi.useFakeTimers())
afterEach(() => vi.useRealTimers())

describe('Periodic', () => {
  it('works at once, then now and then, also after a failure', async () => {
    let turns = 0
    const work = (): Promise<void> => {
      turns += 1
      return turns === 1 ? Promise.reject(new Error('once')) : Promise.resolve()
    }
    const periodic = new Periodic({ work, logger: silent }, { milliseconds: 1000 })
    periodic.poke()
    expect(turns).toBe(1)
    await vi.advanceTimersByTimeAsync(699)
    expect(turns).toBe(1)
    await vi.advanceTimersByTimeAsync(10_000)
    expect(turns).toBeGreaterThanOrEqual(8)
    expect(turns).toBeLessThanOrEqual(16)
    periodic.stop()
    const stopped = turns
    await vi.advanceTimersByTimeAsync(10_000)
    expect(turns).toBe(stopped)
  })

  it('never works twice at a time, and once more when it was poked meanwhile', async () => {
    let running = 0
    let most = 0
    let turns = 0
    const work = async (): Promise<void> => {
      turns += 1
      most = Math.max(most, ++running)
      await new Promise(resolve => setTimeout(resolve, 100))
      running -= 1
    }
    const periodic = new Periodic({ work, logger: silent }, { milliseconds: 60_000 })
    for (let poke = 0; poke < 5; poke++) periodic.poke()
    await vi.advanceTimersByTimeAsync(1000)
    expect([most, turns]).toEqual([1, 2])
    periodic.stop()
  })

  it('tells its work that it stops', async () => {
    let aborted = false
    const work = (signal: AbortSignal): Promise<void> =>
      new Promise(resolve => {
        signal.addEventListener('abort', () => {
          aborted = true
          resolve()
        })
      })
    const periodic = new Periodic({ work, logger: silent }, { milliseconds: 10 })
    periodic.poke()
    periodic.stop()
    periodic.poke()
    await vi.advanceTimersByTimeAsync(100)
    expect(aborted).toBe(true)
  })
})
