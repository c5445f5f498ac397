import { beforeEach, describe, expect, it } from 'vitest'
import { Pace } from '../../../node/pipeline/pace.js'

const SECOND = 1_000
const HOUR = 3_600 * SECOND

let now: number
let pace: Pace

beforeEach(() => {
  now = 0
  pace = new Pace({ now: () => now })
})

/** A step every second until then, each of which takes `seconds` a layer. */
function measure(seconds: number, until: number): void {
  for (; now < until; now += SECOND) pace.measured(seconds)
}

describe('Pace', () => {
  it('is unknown until it is measured, by a calibration or the first step', () => {
    expect(pace).toMatchObject({ lately: 0, steady: 0 })
    pace.measured(0.02)
    expect(pace).toMatchObject({ lately: 0.02, steady: 0.02 })
    pace.calibrated(0.01)
    expect(pace).toMatchObject({ lately: 0.01, steady: 0.01 })
  })

  it('lately follows every step, and steadily none that is about the same', () => {
    pace.calibrated(0.01)
    measure(0.012, 10 * HOUR)
    expect(pace.lately).toBeCloseTo(0.012)
    expect(pace.steady).toBe(0.01)
  })

  it.each([
    ['slower', 0.02],
    ['faster', 0.005]
  ])('is %s steadily once it has been for an hour', (_, seconds) => {
    pace.calibrated(0.01)
    measure(seconds, HOUR)
    expect(pace.steady).toBe(0.01)
    measure(seconds, HOUR + 10 * SECOND)
    expect(pace.steady).toBeCloseTo(seconds)
  })

  it('is the same steadily when it is slow again and again, but not for an hour', () => {
    pace.calibrated(0.01)
    for (let hour = 1; hour <= 10; hour++) {
      measure(0.03, hour * HOUR - 60 * SECOND)
      measure(0.01, hour * HOUR)
    }
    expect(pace.steady).toBe(0.01)
  })

  it('is the speed of the layers alone steadily, where a token takes a head too', () => {
    pace.calibrated(0.01, 0.03)
    expect(pace).toMatchObject({ lately: 0.03, steady: 0.01 })
    measure(0.03, 2 * HOUR)
    expect(pace.steady).toBe(0.01)
    measure(0.06, 4 * HOUR)
    expect(pace.lately).toBeCloseTo(0.06)
    expect(pace.steady).toBeCloseTo(0.02)
  })
})
