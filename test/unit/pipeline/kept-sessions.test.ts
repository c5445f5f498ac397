import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { KEPT_MS, LEAST_KEPT_TOKENS, MAX_KEPT, SESSION_SILENCE_MS } from '../../../node/pipeline/constants.js'
import { KeptSessions, sharedLength, type KeptSession } from '../../../node/pipeline/kept-sessions.js'

const tokens = (...list: number[]): Uint32Array => Uint32Array.from(list)

class Session {
  isOpen = true
  close(): void {
    this.isOpen = false
  }
}

function kept(key: string, held: Uint32Array): KeptSession {
  return { key, session: new Session(), tokens: held }
}

describe('KeptSessions', () => {
  beforeEach(() => {
    vi.useFakeTimers()
  })
  afterEach(() => {
    vi.useRealTimers()
  })

  it('gives the session that has the most of a prompt, once', () => {
    const sessions = new KeptSessions({ least: 1 })
    const [short, long] = [kept('me', tokens(1, 2, 9)), kept('me', tokens(1, 2, 3, 4, 8))]
    for (const one of [short, long]) sessions.keep(one)
    expect(sessions.take('me', tokens(1, 2, 3, 4, 5))).toEqual({ kept: long, shared: 4 })
    expect(sessions.take('me', tokens(1, 2, 3, 4, 5))).toEqual({ kept: short, shared: 2 })
    expect(sessions.take('me', tokens(1, 2, 3, 4, 5))).toBeUndefined()
    expect(long.session.isOpen).toBe(true)
  })

  it('leaves one alone that differs from a prompt in more than half of the shorter one', () => {
    const sessions = new KeptSessions({ least: 1 })
    sessions.keep(kept('me', tokens(1, 2, 3, 4, 5, 6)))
    expect(sessions.take('me', tokens(1, 2, 7, 8, 9))).toBeUndefined()
    expect(sessions.take('me', tokens(1, 2, 7, 8))).toMatchObject({ shared: 2 })
  })

  it('gives a short one for a long prompt that goes on from all of it', () => {
    const sessions = new KeptSessions({ least: 1 })
    sessions.keep(kept('me', tokens(1, 2)))
    expect(sessions.take('me', tokens(1, 2, 3, 4, 5, 6, 7))).toMatchObject({ shared: 2 })
  })

  it('has a prompt in full but for its last token, and no prompt of one', () => {
    const sessions = new KeptSessions({ least: 1 })
    sessions.keep(kept('me', tokens(1, 2, 3)))
    expect(sessions.take('me', tokens(1))).toBeUndefined()
    expect(sessions.take('me', tokens(1, 2, 3))).toMatchObject({ shared: 2 })
  })

  it('closes one at once that is too short for any prompt', () => {
    const sessions = new KeptSessions()
    const [short, enough] = [LEAST_KEPT_TOKENS - 1, LEAST_KEPT_TOKENS].map(length =>
      kept('me', new Uint32Array(length))
    )
    for (const one of [short, enough]) if (one !== undefined) sessions.keep(one)
    expect([short, enough].map(one => one?.session.isOpen)).toEqual([false, true])
    expect(sessions.size).toBe(1)
    sessions.stop()
  })

  it('gives none that would save hardly anything', () => {
    const sessions = new KeptSessions()
    const all = Uint32Array.from({ length: 40 }, (_, i) => i)
    sessions.keep(kept('me', all))
    expect(sessions.take('me', all.slice(0, LEAST_KEPT_TOKENS))).toBeUndefined()
    expect(sessions.take('me', all.slice(0, LEAST_KEPT_TOKENS + 1))).toMatchObject({ shared: LEAST_KEPT_TOKENS })
  })

  it("never gives another's", () => {
    const sessions = new KeptSessions({ least: 1 })
    sessions.keep(kept('me', tokens(1, 2, 3)))
    expect(sessions.take('you', tokens(1, 2, 3))).toBeUndefined()
    expect(sessions.size).toBe(1)
  })

  it('forgets what a stage has ended', () => {
    const sessions = new KeptSessions({ least: 1 })
    const gone = kept('me', tokens(1, 2, 3))
    sessions.keep(gone)
    gone.session.close()
    expect(sessions.take('me', tokens(1, 2, 3))).toBeUndefined()
    expect(sessions.size).toBe(0)
  })

  it('closes what nobody has taken for a while, before a stage does', () => {
    expect(KEPT_MS).toBeLessThan(SESSION_SILENCE_MS)
    const sessions = new KeptSessions({ least: 1 })
    const [first, second] = [kept('me', tokens(1)), kept('me', tokens(1))]
    sessions.keep(first)
    vi.advanceTimersByTime(KEPT_MS - 1)
    sessions.keep(second)
    vi.advanceTimersByTime(1)
    expect([first.session.isOpen, second.session.isOpen]).toEqual([false, true])
  })

  it('closes the least recently used of too many, and all of them in the end', () => {
    const sessions = new KeptSessions({ least: 1 })
    const many = Array.from({ length: MAX_KEPT + 2 }, (_, i) => kept('me', tokens(i)))
    for (const one of many) sessions.keep(one)
    expect(many.map(({ session }) => session.isOpen)).toEqual(many.map((_, i) => i >= 2))
    sessions.stop()
    expect(many.some(({ session }) => session.isOpen)).toBe(false)
    expect(vi.getTimerCount()).toBe(0)
  })
})

describe('sharedLength', () => {
  it.each([
    [[], [1], 0],
    [[1, 2, 3], [1, 2, 3], 3],
    [[1, 2, 3], [1, 2], 2],
    [[1, 9, 3], [1, 2, 3], 1]
  ])('%j and %j begin alike for %i', (a, b, length) => {
    expect(sharedLength(Uint32Array.from(a), Uint32Array.from(b))).toBe(length)
  })
})
