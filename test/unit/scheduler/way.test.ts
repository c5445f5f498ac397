import { describe, expect, it } from 'vitest'
import { optionOf, Placements } from '../../../node/scheduler/placements.js'
import { type Ends, shortestWay, type Way } from '../../../node/scheduler/way.js'

type Range = [start: number, end: number, rate: number]

/** The way on which every node but the last goes from its first option to its second one. */
function way(nodes: readonly Range[][], changes: Partial<Ends> = {}): Way | undefined {
  const options = nodes.map(ranges =>
    ranges.map(([start, end, rate]) => optionOf({ start, end }, rate * (end - start)))
  )
  return shortestWay(new Placements(4, options), {
    from: nodes.map(() => 0),
    to: nodes.map((_, node) => (node < nodes.length - 1 ? 1 : 0)),
    options: options.map(({ length }) => length),
    kept: 0.05,
    fitBeside: () => false,
    isTooMuch: () => false,
    ...changes
  })
}

const FIRST: Range = [0, 2, 100]
const SECOND: Range = [2, 4, 100]
const WHOLE: Range = [0, 4, 10]
const SWAP = [
  [FIRST, SECOND],
  [SECOND, FIRST]
]

describe('a way', () => {
  it('does not lead through a hole', () => {
    expect(way([...SWAP, [[0, 2, 10]]])).toMatchObject({ moves: 2, first: { node: 0, option: 1 } })
    expect(way([...SWAP, [[2, 4, 10]]])).toMatchObject({ moves: 2, first: { node: 1, option: 1 } })
    expect(way([...SWAP, [[1, 2, 10]]])).toBeUndefined()
  })

  it('needs nobody else for the layers of a node whose memory holds both ranges', () => {
    expect(way([...SWAP, [[1, 2, 10]]], { fitBeside: node => node === 0 })).toBeUndefined()
    const both = [[FIRST, WHOLE], [SECOND]]
    expect(way(both)).toBeUndefined()
    expect(way(both, { fitBeside: () => true })).toMatchObject({ moves: 1 })
  })

  it('keeps the slowest layer fast on the way', () => {
    const slow = [...SWAP, [WHOLE]]
    expect(way(slow, { kept: 0.09 })).toMatchObject({ moves: 2 })
    expect(way(slow, { kept: 0.11 })).toBeUndefined()
  })

  it('takes the detour of a node that makes room for a while', () => {
    // Neither may leave unless the third one stands in, which is where it began at the end.
    const helper: Range[] = [
      [1, 2, 10],
      [0, 2, 10]
    ]
    expect(way([...SWAP, helper])).toMatchObject({ moves: 4, first: { node: 2, option: 1 } })
  })

  it('is not looked for any further when that has taken too long', () => {
    expect(way([...SWAP, [[0, 2, 10]]], { isTooMuch: () => true })).toBeUndefined()
  })
})
