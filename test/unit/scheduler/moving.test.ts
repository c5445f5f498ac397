import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { paysToMove } from '../../../node/scheduler/moving.js'

describe('moving a session to a faster stage', () => {
  it.each([
    ['pays early in a long answer', { current: 0.2, other: 0.02, rows: 100, rest: 1_000 }, true],
    ['does not pay for a little', { current: 0.2, other: 0.19, rows: 0, rest: 100_000 }, false],
    ['does not pay at the end', { current: 0.2, other: 0.1, rows: 4_000, rest: 10 }, false],
    ['pays at once where nothing has to be filled', { current: 0.2, other: 0.1, rows: 0, rest: 1 }, true]
  ])('%s', (_, move, pays) => {
    expect(paysToMove(move)).toBe(pays)
  })

  it('never pays in both directions', () => {
    const seconds = fc.double({ min: 1e-6, max: 10, noNaN: true })
    fc.assert(
      fc.property(seconds, seconds, fc.nat(10_000), fc.nat(10_000), (current, other, rows, rest) => {
        const there = paysToMove({ current, other, rows, rest })
        const back = paysToMove({ current: other, other: current, rows, rest })
        expect(there && back).toBe(false)
      })
    )
  })
})
