import { describe, expect, it } from 'vitest'
import { STAGE_LIMITS } from '../../../node/trust/constants.js'
import { Trust } from '../../../node/trust/trust.js'

function bench() {
  const clock = { now: 0 }
  const warnings: object[] = []
  const trust = new Trust({ now: () => clock.now, warn: facts => warnings.push(facts) }, { self: 'self' })
  const banned: string[] = []
  trust.addEventListener('ban', event => banned.push((event as CustomEvent<string>).detail))
  return { clock, trust, banned, warnings }
}

describe('Trust', () => {
  it('counts every refusal, and bans who alone caused too many', () => {
    const { trust, banned, warnings } = bench()
    for (let times = 0; times < 3; times++) trust.refuse('FORGED_RECORD', 'liar')
    trust.refuse('UNKNOWN_SESSION', 'late')
    trust.refuse('UNAUTHORIZED')
    expect(trust.refused).toEqual({ FORGED_RECORD: 3, BANNED: 1, UNKNOWN_SESSION: 1, UNAUTHORIZED: 1 })
    expect(banned).toEqual(['liar'])
    expect(warnings).toEqual([{ peer: 'liar', reason: 'FORGED_RECORD' }])
    expect(trust.bans().map(({ peer }) => peer)).toEqual(['liar'])
    expect([trust.isBanned('liar'), trust.isBanned('late')]).toEqual([true, false])
  })

  it('blames nobody for what honest peers do too, nor ever the node itself', () => {
    const { trust, banned } = bench()
    for (let times = 0; times < 1_000; times++) {
      for (const reason of ['BUSY', 'STAGE_LOST', 'UNKNOWN_SESSION', 'LEAVING', 'TIMEOUT', 'SLOW_READER'] as const) {
        trust.refuse(reason, 'unlucky')
      }
      trust.refuse('MALFORMED', 'self')
    }
    expect(banned).toEqual([])
    expect(trust.refused['TIMEOUT']).toBe(1_000)
  })

  it('has places for as many streams of a peer as its limits say, and for more once some are over', () => {
    const { clock, trust } = bench()
    const enter = (peer: string): Disposable | undefined => {
      clock.now += 1_000 / STAGE_LIMITS.perSecond
      return trust.enter(peer, 'stage')
    }
    const places = Array.from({ length: STAGE_LIMITS.streams }, () => enter('a'))
    expect(places.every(place => place !== undefined)).toBe(true)
    expect(enter('a')).toBeUndefined()
    expect(enter('b')).toBeDefined()
    expect(trust.refused).toEqual({ TOO_MANY: 1 })
    places[0]?.[Symbol.dispose]()
    expect(enter('a')).toBeDefined()
  })

  it('refuses a burst above the rate, and bans a flood', () => {
    const { trust, banned } = bench()
    const taken = Array.from({ length: STAGE_LIMITS.burst + 10 }, () => {
      const place = trust.enter('a', 'stage')
      place?.[Symbol.dispose]()
      return place !== undefined
    })
    expect(taken.filter(Boolean)).toHaveLength(STAGE_LIMITS.burst)
    expect(banned).toEqual([])
    for (let times = 0; times < 6_400; times++) trust.enter('a', 'stage')
    expect(banned).toEqual(['a'])
  })
})
