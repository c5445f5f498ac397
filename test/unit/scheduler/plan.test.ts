import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { isComplete } from '../../../node/scheduler/chain.js'
import { fitBeside } from '../../../node/scheduler/fit.js'
import { canPlan, nextMoves } from '../../../node/scheduler/plan.js'
import { slowest, usableRates } from '../../../node/scheduler/throughput.js'
import type { PlacedNode } from '../../../node/scheduler/types.js'
import { modelOf } from '../../simulate/scenario.js'

const LAYERS = 6
const SIZE = modelOf({ layers: LAYERS })
const GAIN = 1.01

const someNode = fc.record({
  layersPerSecond: fc.integer({ min: 50, max: 500 }),
  memoryBytes: fc.integer({ min: 1, max: 4 }),
  start: fc.integer({ min: 0, max: LAYERS - 1 })
})
const swarms = fc
  .array(someNode, { minLength: 2, maxLength: 5 })
  .map(nodes => nodes.map((node, i): PlacedNode => ({ ...node, peer: `n${i}`, end: endOf(node) })))

function endOf({ start, memoryBytes }: { start: number; memoryBytes: number }): number {
  return Math.min(LAYERS, start + memoryBytes)
}

function rateOf(nodes: readonly PlacedNode[]): number {
  return slowest(usableRates(LAYERS, nodes))
}

/** Everybody does what the plan says, until it says nothing more: the placements one after the other. */
function followed(nodes: readonly PlacedNode[]): PlacedNode[][] {
  const placements = [[...nodes]]
  for (let now = placements[0] ?? []; ; placements.push(now)) {
    const [move] = nextMoves(SIZE, now, { gain: GAIN })
    if (move === undefined) return placements
    expect(placements.length).toBeLessThan(50)
    now = now.map(node => (node.peer === move.peer ? { ...node, ...move.range } : node))
  }
}

describe('a plan', () => {
  it('comes to rest, better than it began', () => {
    fc.assert(
      fc.property(swarms, nodes => {
        const before = rateOf(nodes)
        fc.pre(before > 0)
        const [move] = nextMoves(SIZE, nodes, { gain: GAIN })
        const after = rateOf(followed(nodes).at(-1) ?? [])
        if (move === undefined) return
        expect(move.gain).toBeGreaterThan(GAIN ** move.moves)
        expect(after).toBeGreaterThan(before)
      })
    )
  })

  it('never leaves a hole, also while a node whose memory holds one range only is between both', () => {
    fc.assert(
      fc.property(swarms, nodes => {
        fc.pre(rateOf(nodes) > 0)
        const placements = followed(nodes)
        for (const [i, after] of placements.entries()) {
          expect(isComplete(LAYERS, after)).toBe(true)
          const before = placements[i - 1]
          const mover = before?.find((node, at) => node.start !== after[at]?.start)
          const to = after.find(({ peer }) => peer === mover?.peer)
          if (before === undefined || mover === undefined || to === undefined || fitBeside(SIZE, mover, to)) continue
          const left = before.filter(node => node !== mover)
          expect(isComplete(LAYERS, left)).toBe(true)
        }
      })
    )
  })

  it('makes room first where a node can only move through another one', () => {
    // a is slow and alone at the beginning of the model; b, which is fast, is not needed where it is.
    const nodes = [
      { peer: 'a', start: 0, end: 2, layersPerSecond: 10, memoryBytes: 2 },
      { peer: 'b', start: 2, end: 6, layersPerSecond: 400, memoryBytes: 4 },
      { peer: 'c', start: 2, end: 6, layersPerSecond: 300, memoryBytes: 4 }
    ]
    expect(nextMoves(SIZE, nodes, { gain: GAIN })[0]).toMatchObject({ peer: 'b', range: { start: 0, end: 4 } })
  })

  it('is not made in swarms that are too large', () => {
    const node = { peer: 'a', start: 0, end: 2, layersPerSecond: 10, memoryBytes: 2 }
    expect(canPlan(SIZE, Array(10).fill(node))).toBe(true)
    expect(canPlan(SIZE, Array(1_000).fill(node))).toBe(false)
  })
})
