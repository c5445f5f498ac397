import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { lostRun, segmentOf, widened } from '../../../node/pipeline/mending.js'

const seats = (pattern: string) =>
  pattern.split('').map((mark, i) => ({
    stage: { peer: `p${i}`, start: 2 * i, leave: 2 * i + 2 },
    lost: mark === 'x' ? new Error('lost') : undefined
  }))

describe('the run to mend', () => {
  it.each([
    ['...', undefined],
    ['x..', { from: 0, to: 1 }],
    ['..x', { from: 2, to: 3 }],
    ['xx.x.', { from: 3, to: 4 }],
    ['.xxx', { from: 1, to: 4 }],
    ['xxx', { from: 0, to: 3 }],
    ['', { from: 0, to: 0 }]
  ])('of %j is %j', (pattern, run) => {
    expect(lostRun(seats(pattern))).toEqual(run)
  })

  it('is a segment between the stages that stay', () => {
    const all = seats('.x.')
    expect(segmentOf(all, { from: 1, to: 2 }, 6)).toEqual({ start: 2, end: 4, before: 'p0', after: 'p2' })
    expect(segmentOf(all, { from: 0, to: 3 }, 6)).toEqual({ start: 0, end: 6, before: undefined, after: undefined })
    expect(segmentOf([], { from: 0, to: 0 }, 6)).toEqual({ start: 0, end: 6, before: undefined, after: undefined })
  })

  it('is widened seat by seat up to the whole route, each run once', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 9 }), fc.nat(8), fc.nat(8), (count, a, b) => {
        const [from, to] = [Math.min(a, b) % count, (Math.max(a, b) % count) + 1]
        fc.pre(from < to)
        const runs = [...widened({ from, to }, count)]
        expect(runs[0]).toEqual({ from, to })
        expect(runs.at(-1)).toEqual({ from: 0, to: count })
        const lengths = runs.map(run => run.to - run.from)
        expect(lengths).toEqual(lengths.toSorted((x, y) => x - y))
        expect(new Set(runs.map(run => `${run.from} ${run.to}`)).size).toBe(runs.length)
        for (const run of runs) expect(run.from <= from && run.to >= to).toBe(true)
      })
    )
  })
})
