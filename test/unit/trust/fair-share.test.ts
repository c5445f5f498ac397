import { describe, expect, it } from 'vitest'
import { WANTED_MS } from '../../../node/trust/constants.js'
import { FairShare } from '../../../node/trust/fair-share.js'

function bench() {
  const clock = { now: 0 }
  return { clock, share: new FairShare({ now: () => clock.now }) }
}

describe('FairShare', () => {
  it('holds nobody back while nobody else wants in', () => {
    const { share } = bench()
    for (let sessions = 0; sessions < 8; sessions++) {
      expect(share.mustLeaveRoom('greedy')).toBe(false)
      share.entered('greedy')
    }
    share.turnedAway('greedy')
    expect(share.mustLeaveRoom('greedy')).toBe(false)
  })

  it('holds back who has a session once another was turned away, until that one got in', () => {
    const { share } = bench()
    share.entered('greedy')
    share.turnedAway('other')
    expect(share.mustLeaveRoom('greedy')).toBe(true)
    expect(share.mustLeaveRoom('newcomer')).toBe(false)
    expect(share.mustLeaveRoom('other')).toBe(false)
    share.entered('other')
    expect(share.mustLeaveRoom('greedy')).toBe(false)
  })

  it('does so for a while only', () => {
    const { clock, share } = bench()
    share.entered('greedy')
    share.turnedAway('other')
    clock.now += WANTED_MS - 1
    expect(share.mustLeaveRoom('greedy')).toBe(true)
    clock.now += 1
    expect(share.mustLeaveRoom('greedy')).toBe(false)
  })

  it('never holds back the owner, for whom others leave room', () => {
    const { share } = bench()
    share.entered('greedy')
    share.turnedAway(undefined)
    expect(share.mustLeaveRoom('greedy')).toBe(true)
    share.entered(undefined)
    share.turnedAway('other')
    expect(share.mustLeaveRoom(undefined)).toBe(false)
  })

  it('forgets who has no session any more', () => {
    const { share } = bench()
    share.entered('greedy')
    share.entered('greedy')
    share.turnedAway('other')
    share.left('greedy')
    expect(share.mustLeaveRoom('greedy')).toBe(true)
    share.left('greedy')
    expect(share.mustLeaveRoom('greedy')).toBe(false)
  })
})
