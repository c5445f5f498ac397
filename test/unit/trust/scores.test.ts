import { describe, expect, it } from 'vitest'
import {
  BAN_MS,
  BAN_SCORE,
  CARELESS_MOST,
  HALF_LIFE_MS,
  LONGEST_BAN_MS,
  REPEAT_MS,
  WEIGHTS,
  type Intent
} from '../../../node/trust/constants.js'
import { Scores } from '../../../node/trust/scores.js'

function scoresAt(clock: { now: number }, options?: { peers: number }): Scores {
  return new Scores({ now: () => clock.now }, options)
}

/** Blames until the ban, and says how often it took. */
function untilBanned(scores: Scores, peer: string, intent: Intent): number {
  for (let times = 1; times < 10_000; times++) if (scores.blame(peer, intent)) return times
  return Infinity
}

describe('Scores', () => {
  it.each([
    ['malice', 3],
    ['broken', 20],
    ['flood', 6_400]
  ] as const)('bans for %s after %i times', (intent, times) => {
    const scores = scoresAt({ now: 0 })
    expect(untilBanned(scores, 'a', intent)).toBe(times)
    expect(scores.isBanned('a')).toBe(true)
    expect(scores.isBanned('b')).toBe(false)
  })

  it('never bans for carelessness alone, but counts it beside worse', () => {
    const scores = scoresAt({ now: 0 })
    expect(untilBanned(scores, 'a', 'careless')).toBe(Infinity)
    expect(scores.points('a')).toBe(CARELESS_MOST)
    expect(untilBanned(scores, 'a', 'malice')).toBe(2)
  })

  it('takes nothing from a score that carelessness finds above its own most', () => {
    const scores = scoresAt({ now: 0 })
    scores.blame('a', 'malice')
    scores.blame('a', 'malice')
    scores.blame('a', 'careless')
    expect(scores.points('a')).toBe(2 * WEIGHTS.malice)
  })

  it('halves a score in its half-life', () => {
    const clock = { now: 0 }
    const scores = scoresAt(clock)
    scores.blame('a', 'malice')
    clock.now += HALF_LIFE_MS
    expect(scores.points('a')).toBeCloseTo(WEIGHTS.malice / 2)
    scores.blame('a', 'malice')
    expect(scores.points('a')).toBeCloseTo(1.5 * WEIGHTS.malice)
    clock.now += 3 * HALF_LIFE_MS
    expect(untilBanned(scores, 'a', 'malice')).toBe(3)
  })

  it('ends a ban, doubles the next one up to the longest, and forgets former ones', () => {
    const clock = { now: 5 }
    const scores = scoresAt(clock)
    const lengths: number[] = []
    for (let times = 0; times < 12; times++) {
      untilBanned(scores, 'a', 'malice')
      const [{ left } = { left: 0 }] = scores.bans()
      lengths.push(left)
      clock.now += left - 1
      expect(scores.isBanned('a')).toBe(true)
      clock.now += 1
      expect(scores.isBanned('a')).toBe(false)
    }
    expect(lengths.slice(0, 3)).toEqual([BAN_MS, 2 * BAN_MS, 4 * BAN_MS])
    expect(lengths.at(-1)).toBe(LONGEST_BAN_MS)
    clock.now += REPEAT_MS + 1
    untilBanned(scores, 'a', 'malice')
    expect(scores.bans()).toEqual([{ peer: 'a', left: BAN_MS }])
  })

  it('begins again from nothing after a ban, and takes no blame during one', () => {
    const clock = { now: 0 }
    const scores = scoresAt(clock)
    untilBanned(scores, 'a', 'malice')
    expect(untilBanned(scores, 'a', 'malice')).toBe(Infinity)
    clock.now += BAN_MS
    expect(scores.points('a')).toBe(0)
  })

  it('remembers a bounded number of peers and bans', () => {
    const scores = scoresAt({ now: 0 }, { peers: 2 })
    for (const peer of ['a', 'b', 'c']) scores.blame(peer, 'broken')
    expect(['a', 'b', 'c'].map(peer => scores.points(peer))).toEqual([0, WEIGHTS.broken, WEIGHTS.broken])
    for (const peer of ['a', 'b', 'c']) untilBanned(scores, peer, 'malice')
    expect(scores.bans().map(({ peer }) => peer)).toEqual(['b', 'c'])
  })

  it('has weights by which worse intent weighs more', () => {
    const { malice, broken, careless, flood } = WEIGHTS
    expect([BAN_SCORE, malice, broken, careless, flood].sort((a, b) => b - a)).toEqual([
      ...[BAN_SCORE, malice, broken, careless, flood]
    ])
  })
})
