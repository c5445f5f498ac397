import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { RateLimit } from '../../../node/trust/rate-limit.js'

const LIMITS = { perSecond: 10, burst: 5 }

function limitAt(clock: { now: number }, limits = LIMITS, options?: { peers: number }): RateLimit {
  return new RateLimit({ now: () => clock.now }, limits, options)
}

const times = (count: number, take: () => boolean): number => Array.from({ length: count }, take).filter(Boolean).length

describe('RateLimit', () => {
  it('takes a burst at once and the rate afterwards', () => {
    const clock = { now: 1_000 }
    const limit = limitAt(clock)
    expect(times(20, () => limit.take('a'))).toBe(5)
    clock.now += 100
    expect(times(20, () => limit.take('a'))).toBe(1)
    clock.now += 300
    expect(times(20, () => limit.take('a'))).toBe(3)
    clock.now += 60_000
    expect(times(20, () => limit.take('a'))).toBe(5)
  })

  it('counts each peer by itself', () => {
    const limit = limitAt({ now: 0 })
    expect(times(9, () => limit.take('a'))).toBe(5)
    expect(times(9, () => limit.take('b'))).toBe(5)
  })

  it('never refuses whoever keeps to the rate', () => {
    const rate = fc.record({ perSecond: fc.integer({ min: 1, max: 999 }), burst: fc.integer({ min: 1, max: 99 }) })
    fc.assert(
      fc.property(rate, limits => {
        const clock = { now: 0 }
        const limit = limitAt(clock, limits)
        for (let i = 0; i < 300; i++, clock.now = (i * 1_000) / limits.perSecond) expect(limit.take('a')).toBe(true)
      })
    )
  })

  it('takes no more than a burst and the rate in any time, whenever they come', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 400 }), { maxLength: 200 }), pauses => {
        const clock = { now: 0 }
        const limit = limitAt(clock)
        const taken: number[] = []
        for (const pause of pauses) {
          clock.now += pause
          if (limit.take('a')) taken.push(clock.now)
        }
        taken.forEach((first, i) =>
          taken.slice(i).forEach((last, more) => {
            expect(more + 1).toBeLessThanOrEqual(LIMITS.burst + ((last - first) * LIMITS.perSecond) / 1_000 + 0.01)
          })
        )
      })
    )
  })

  it('says how long whoever is refused has to wait, to the millisecond', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 200 }), fc.integer({ min: 1, max: 20 }), (perSecond, burst) => {
        const clock = { now: 0 }
        const limit = limitAt(clock, { perSecond, burst })
        expect(limit.wait('a')).toBe(0)
        expect(times(burst, () => limit.take('a'))).toBe(burst)
        const wait = limit.wait('a')
        expect(wait).toBeCloseTo(1_000 / perSecond)
        clock.now = 0.9 * wait
        expect(limit.take('a')).toBe(false)
        clock.now = wait
        expect(limit.wait('a')).toBe(0)
        expect(limit.take('a')).toBe(true)
      })
    )
  })

  it('remembers a bounded number of peers, and forgets the longest unheard of', () => {
    const limit = limitAt({ now: 0 }, { perSecond: 1, burst: 1 }, { peers: 3 })
    for (const peer of ['a', 'b', 'c', 'd']) expect(limit.take(peer)).toBe(true)
    expect(limit.size).toBe(3)
    expect(limit.take('d')).toBe(false)
    expect(limit.take('a')).toBe(true)
  })
})
