import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { isLost, missingLayers } from '../../../node/scheduler/coverage.js'

const range = (start: number, end: number): { start: number; end: number } => ({ start, end })

describe('missing layers', () => {
  it.each([
    ['of nothing held', [], [range(0, 8)]],
    ['of a whole model', [range(0, 8)], []],
    ['between ranges', [range(5, 8), range(0, 3)], [range(3, 5)]],
    ['at both ends', [range(2, 4), range(3, 6)], [range(0, 2), range(6, 8)]],
    ['of ranges within others', [range(0, 7), range(2, 3)], [range(7, 8)]]
  ])('%s', (_, held, missing) => {
    expect(missingLayers(8, held)).toEqual(missing)
  })

  it('are exactly those that no range contains', () => {
    const ranges = fc.tuple(fc.nat(19), fc.integer({ min: 1, max: 20 })).filter(([start, end]) => start < end)
    fc.assert(
      fc.property(fc.array(ranges, { maxLength: 8 }), pairs => {
        const held = pairs.map(([start, end]) => range(start, end))
        const missing = missingLayers(20, held)
        for (let layer = 0; layer < 20; layer++) {
          const isHeld = held.some(({ start, end }) => start <= layer && layer < end)
          expect(missing.some(({ start, end }) => start <= layer && layer < end)).toBe(!isHeld)
        }
        for (const [index, { start }] of missing.entries())
          if (index > 0) expect(start).toBeGreaterThan(missing[index - 1]?.end ?? 0)
      })
    )
  })
})

describe('layers that are missing', () => {
  const gap = [{ start: 2, end: 5 }]

  it.each([
    ['are lost where they were held before', [], gap, true],
    ['are lost where the gap has grown', gap, [{ start: 2, end: 6 }], true],
    ['are not where the gap is the same', gap, gap, false],
    ['are not where it has become smaller', gap, [{ start: 3, end: 4 }], false],
    ['are not where there are none', gap, [], false]
  ])('%s', (_, before, now, lost) => {
    expect(isLost(before, now)).toBe(lost)
  })
})
