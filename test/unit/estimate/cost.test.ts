import { describe, expect, it } from 'vitest'
import {
  LINK_ROUND_TRIPS,
  OPEN_ROUND_TRIPS,
  OPEN_SECONDS,
  ROW_SHARE,
  STAGE_SECONDS,
  WAY_SECONDS
} from '../../../node/estimate/constants.js'
import { estimate, networkSeconds, type RouteCost } from '../../../node/estimate/cost.js'

const ROWS = 512

function stage(seconds: number, layerSeconds = seconds) {
  return { seconds, layerSeconds }
}

describe('the estimate of an answer', () => {
  it('adds up the compute of a token, its ways and what each stage costs besides', () => {
    const cost: RouteCost = { stages: [stage(0.01), stage(0.03)], ways: [0.002, 0.004, 0.006] }
    const { token } = estimate(cost, { promptTokens: 1, rowsPerStep: ROWS })
    expect(token).toBeCloseTo(0.04 + 0.012 + 3 * WAY_SECONDS + 2 * STAGE_SECONDS, 9)
    expect(networkSeconds(cost)).toBeCloseTo(token - 0.04, 9)
  })

  it('has no ways on one machine', () => {
    const { token, open } = estimate({ stages: [stage(0.01)], ways: [] }, { promptTokens: 1, rowsPerStep: ROWS })
    expect(token).toBeCloseTo(0.01 + STAGE_SECONDS, 9)
    expect(open).toBe(OPEN_SECONDS)
  })

  it('takes round trips to the farthest stage to open', () => {
    const opened = (stages: number): number => {
      const cost = { stages: Array.from({ length: stages }, () => stage(0.01)), ways: [0.05, 0.01] }
      return estimate(cost, { promptTokens: 1, rowsPerStep: ROWS }).open
    }
    expect(opened(1)).toBeCloseTo(OPEN_SECONDS + OPEN_ROUND_TRIPS * 0.1, 9)
    expect(opened(2)).toBeCloseTo(OPEN_SECONDS + (OPEN_ROUND_TRIPS + LINK_ROUND_TRIPS) * 0.1, 9)
  })

  it('takes each further row of a prompt to cost a part of the first, the head not at all', () => {
    const cost: RouteCost = { stages: [stage(0.01, 0.008)], ways: [] }
    const { prompt } = estimate(cost, { promptTokens: 100, rowsPerStep: ROWS })
    expect(prompt).toBeCloseTo(0.01 + 99 * 0.008 * ROW_SHARE + STAGE_SECONDS, 9)
  })

  it('lets the chunks of a prompt overlap: the slowest stage computes all, the others one', () => {
    const cost: RouteCost = { stages: [stage(0.01), stage(0.02)], ways: [] }
    // Two stages get four chunks of 64 rows.
    const { prompt } = estimate(cost, { promptTokens: 256, rowsPerStep: ROWS })
    const chunk = (seconds: number): number => seconds * (1 + 63 * ROW_SHARE)
    expect(prompt).toBeCloseTo(chunk(0.01) + 4 * chunk(0.02) + 2 * STAGE_SECONDS, 9)
  })
})
