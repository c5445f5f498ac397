import { describe, expect, it } from 'vitest'
import { MOST_SCALE, NEWEST, TRUST_IN_RECORDS } from '../../../node/estimate/constants.js'
import { corrected, errorOf, medianError, type Experience } from '../../../node/estimate/correction.js'

const ROUTE = { manifest: 'ab', stages: 2, ways: 2, path: 'me 0-4, b 4-8' }
const RAW = { token: 0.02, prompt: 0.2, open: 0.03 }
const ASKED = { route: ROUTE, promptTokens: 100 }

function lesson(token: number, changes: Partial<Experience> = {}): Experience {
  const measured = { token, prompt: 0.4, open: 0.05 }
  return { route: ROUTE, promptTokens: 100, estimated: RAW, measured, ...changes }
}

describe('a correction', () => {
  it('is none before three answers of the kind', () => {
    expect(corrected(RAW, ASKED, [lesson(0.04), lesson(0.04)])).toEqual({ ...RAW, by: 0 })
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
    const history = [lesson(0.03), lesson(0.03), lesson(0.03)]
    const slower = corrected({ ...RAW, token: 0.08, prompt: 0.8 }, ASKED, history)
    expect(slower.token).toBeCloseTo(0.03 * 4 ** TRUST_IN_RECORDS, 9)
    expect(slower.prompt).toBeCloseTo(0.4 * 4 ** TRUST_IN_RECORDS, 9)
  })

  it('learns over other routes with as many stages, by how their estimates were off', () => {
    const other = { ...ROUTE, path: 'me 0-4, c 4-8' }
    const history = [0.03, 0.03, 0.03].map(token => lesson(token, { route: other }))
    expect(corrected({ ...RAW, token: 0.04 }, ASKED, history)).toMatchObject({ token: 0.06, by: 3 })
    const absurd = corrected({ ...RAW, token: 2 }, ASKED, history)
    expect(absurd.token).toBeCloseTo(0.03 * MOST_SCALE, 9)
  })

  it('prefers prompts of about the same length, and scales others', () => {
    const near = [0.03, 0.03, 0.03].map(token => lesson(token))
    const far = [0.09, 0.09, 0.09].map(token => lesson(token, { promptTokens: 1_000 }))
    expect(corrected(RAW, ASKED, [...near, ...far])).toMatchObject({ token: 0.03, by: 3 })
    const longer = corrected({ ...RAW, prompt: 2 }, { ...ASKED, promptTokens: 1_000 }, near)
    expect(longer).toMatchObject({ token: 0.03, prompt: 4, by: 3 })
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
