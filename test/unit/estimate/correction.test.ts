import { describe, expect, it } from 'vitest'
import { MOST_SCALE, NEWEST, TRUST_IN_RECORDS } from '../../../node/estimate/constants.js'
import { corrected, errorOf, medianError, type Experience } from '../../../node/estimate/correction.js'

const ROUTE = { manifest: 'ab', stages: 2, ways: 2, path: 'me 0-4, b 4-8' }
const RAW = { token: 0.02, prompt: 0.2, open: 0.03 }
/** Two milliseconds a token, as `RAW` has it. */
const promptOf = (tokens: number): number => tokens / 500
const ASKED = { route: ROUTE, promptTokens: 100, cachedTokens: 0, promptOf }

function lesson(token: number, changes: Partial<Experience> = {}): Experience {
  const measured = { token, prompt: 0.4, open: 0.05 }
  return { route: ROUTE, promptTokens: 100, cachedTokens: 0, estimated: RAW, measured, ...changes }
}

describe('a correction', () => {
  it('is none before an answer over the route, or three over others of its kind', () => {
    expect(corrected(RAW, ASKED, [])).toEqual({ ...RAW, by: 0 })
    const alike = lesson(0.04, { route: { ...ROUTE, path: 'me 0-4, c 4-8' } })
    expect(corrected(RAW, ASKED, [alike, alike])).toEqual({ ...RAW, by: 0 })
    expect(corrected(RAW, ASKED, [alike, alike, alike])).toMatchObject({ token: 0.04, by: 3 })
    expect(corrected(RAW, ASKED, [lesson(0.04)])).toMatchObject({ token: 0.04, by: 1 })
    const others = [
      lesson(0.04, { route: { ...ROUTE, manifest: 'cd' } }),
      lesson(0.04, { route: { ...ROUTE, stages: 3 } }),
      lesson(0.04, { route: { ...ROUTE, ways: 3 } }),
      lesson(0)
    ]
    expect(corrected(RAW, ASKED, [...others, ...others])).toEqual({ ...RAW, by: 0 })
  })

  it('is by the median of what answers took', () => {
    const history = [lesson(0.03), lesson(0.5), lesson(0.04)]
    expect(corrected(RAW, ASKED, history)).toEqual({ token: 0.04, prompt: 0.4, open: 0.05, by: 3 })
  })

  it('looks at the newest only', () => {
    const old = Array.from({ length: 20 }, () => lesson(0.1))
    const lately = Array.from({ length: NEWEST }, () => lesson(0.03))
    expect(corrected(RAW, ASKED, [...old, ...lately])).toMatchObject({ token: 0.03, by: NEWEST })
  })

  it('trusts in part what nodes say has changed over the same route', () => {
    const history = [lesson(0.03)]
    const slower = { ...ASKED, promptOf: (tokens: number) => 4 * promptOf(tokens) }
    const told = corrected({ ...RAW, token: 0.08, prompt: 0.8 }, slower, history)
    expect(told.token).toBeCloseTo(0.03 * 4 ** TRUST_IN_RECORDS, 9)
    expect(told.prompt).toBeCloseTo(0.4 * 4 ** TRUST_IN_RECORDS, 9)
  })

  it('learns over other routes with as many stages, by how their estimates were off', () => {
    const other = { ...ROUTE, path: 'me 0-4, c 4-8' }
    const history = [0.03, 0.03, 0.03].map(token => lesson(token, { route: other }))
    expect(corrected({ ...RAW, token: 0.04 }, ASKED, history)).toMatchObject({ token: 0.06, by: 3 })
    const absurd = corrected({ ...RAW, token: 2 }, ASKED, history)
    expect(absurd.token).toBeCloseTo(0.03 * MOST_SCALE, 9)
  })

  it('prefers prompts of about the same length', () => {
    const far = [0.09, 0.09, 0.09].map(token => lesson(token, { promptTokens: 1_000 }))
    expect(corrected(RAW, ASKED, [lesson(0.03), ...far])).toMatchObject({ token: 0.03, by: 1 })
  })

  it('makes of another length what the length makes of it, whatever else has changed', () => {
    const longer = { ...ASKED, promptTokens: 1_000 }
    expect(corrected({ ...RAW, prompt: 2 }, longer, [lesson(0.03)])).toMatchObject({ token: 0.03, prompt: 4, by: 1 })
    const slower = { ...longer, promptOf: (tokens: number) => 4 * promptOf(tokens) }
    const told = corrected({ ...RAW, prompt: 8 }, slower, [lesson(0.03)])
    expect(told.prompt).toBeCloseTo(4 * 4 ** TRUST_IN_RECORDS, 9)
  })

  it('takes how long a route takes to stand from answers to prompts of any length', () => {
    const opened = (open: number): Experience => lesson(0.03, { measured: { token: 0.03, prompt: 0.4, open } })
    const short = { ...opened(0.006), promptTokens: 5 }
    expect(corrected(RAW, ASKED, [opened(0.3), short, short])).toMatchObject({ open: 0.006, by: 1 })
  })

  it('learns of prompts that go on from an earlier answer for those that do, of tokens from both', () => {
    const anew = lesson(0.03, { promptTokens: 300, estimated: { ...RAW, prompt: promptOf(300) } })
    const further = lesson(0.05, {
      ...{ promptTokens: 300, cachedTokens: 200 },
      measured: { token: 0.05, prompt: 0.6, open: 0.001 }
    })
    const goesOn = { ...ASKED, promptTokens: 350, cachedTokens: 250 }
    const history = [anew, further, further]
    expect(corrected({ ...RAW, open: 0 }, goesOn, history)).toEqual({ token: 0.05, prompt: 0.6, open: 0.001, by: 3 })
    const begins = { ...ASKED, promptTokens: 300 }
    expect(corrected({ ...RAW, prompt: promptOf(300) }, begins, history)).toEqual({
      token: 0.05,
      prompt: 0.4,
      open: 0.05,
      by: 3
    })
  })

  it('takes the first of these by what is new of it, and nothing for a route that stands', () => {
    const goesOn = { ...ASKED, promptTokens: 1_000, cachedTokens: 900 }
    const told = corrected({ ...RAW, open: 0 }, goesOn, [lesson(0.03), lesson(0.04, { promptTokens: 900 })])
    expect(told).toEqual({ token: 0.04, prompt: 0.4, open: 0, by: 1 })
  })
})

describe('errors', () => {
  it('are above zero where too much was promised, and count whichever way they are off', () => {
    expect(errorOf({ estimated: 12, measured: 10 })).toBeCloseTo(0.2, 9)
    const pairs = [12, 7, 10].map(estimated => ({ estimated, measured: 10 }))
    expect(medianError(pairs)).toBeCloseTo(0.2, 9)
    expect(medianError([])).toBe(0)
  })
})
