import { describe, expect, it } from 'vitest'
import { accuracyOf } from '../../../node/estimate/accuracy.js'
import { ESTIMATE } from '../control/memory-service.js'

const answer = (tokensPerSecond: number, firstTokenMs: number) => ({
  ...ESTIMATE,
  measured: { tokensPerSecond, firstTokenMs }
})

describe('how far off estimates were', () => {
  it('is the median error, whichever way they were off', () => {
    const { answers, tokensPerSecond, firstToken } = accuracyOf([answer(30, 100), answer(66, 110), answer(33, 55)])
    expect(answers).toBe(3)
    expect(tokensPerSecond).toBeCloseTo(0.1, 9)
    expect(firstToken).toBeCloseTo(0.1, 9)
  })

  it('leaves out answers that were too short to tell, and says nothing where there are no others', () => {
    expect(accuracyOf([answer(0, 100), answer(66, 110)])).toMatchObject({ answers: 2, tokensPerSecond: 0.5 })
    expect(accuracyOf([answer(0, 110)])).toEqual({ answers: 1, tokensPerSecond: undefined, firstToken: 0 })
    expect(accuracyOf([])).toEqual({ answers: 0, tokensPerSecond: undefined, firstToken: undefined })
  })
})
