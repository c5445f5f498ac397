import { describe, expect, it } from 'vitest'
import type { Manifest } from '../../../node/models/types.js'
import { offeredModels } from '../../../node/pipeline/catalogue.js'
import { DirectoryPlanner } from '../../../node/pipeline/route-planner.js'
import type { SessionStage } from '../../../node/pipeline/session-types.js'
import type { NodeView } from '../../../node/swarm/types.js'
import { held, nodeView, shard } from './swarm-views.js'

const LAYERS = 6

/** Nodes that serve layers 2 to 4 with so many seconds a layer. */
function plannerOver(seconds: Record<string, number>, context = 1_000): DirectoryPlanner {
  const serving = (peer: string, start: number, end: number, secondsPerLayer: number): NodeView =>
    nodeView(peer, [held({ shards: [{ ...shard(start, end), secondsPerLayer }] })])
  const views = [
    serving('a', 0, 2, 0.001),
    ...Object.entries(seconds).map(([peer, each]) => serving(peer, 2, 4, each)),
    serving('c', 4, 6, 0.001)
  ]
  const directory = {
    nodes: () => views,
    refresh: () => Promise.resolve(),
    addEventListener: () => undefined,
    removeEventListener: () => undefined
  }
  const [model] = offeredModels(views)
  if (model === undefined) throw new Error('no model')
  const manifest = { name: 'Toy', layers: LAYERS, cuts: [1, 2, 3, 4, 5] } as Manifest
  return new DirectoryPlanner(
    { directory, now: () => 0, onWaiting: () => undefined },
    { model, manifest, context, waitMs: 0 }
  )
}

const STAGE: SessionStage = { peer: 'b', start: 2, end: 4, leave: 4, local: false, addresses: [] }
const SEGMENT = { start: 2, end: 4, before: 'a', after: 'c' }

describe('a stage of the route', () => {
  it.each([
    ['is slow when it takes much longer than another one would', 1, 100, true],
    ['is not slow when it takes as long as the others', 0.25, 100, false],
    ['is not slow when there is little left to save', 1, 995, false]
  ])('%s', (_, seconds, rows, slow) => {
    const planner = plannerOver({ b: 0.1, bb: 0.1 })
    expect(planner.isSlow(SEGMENT, { stage: STAGE, seconds, rows }, new Set(['b']))).toBe(slow)
  })

  it('is not slow when nobody else has its layers', () => {
    expect(plannerOver({ b: 0.1 }).isSlow(SEGMENT, { stage: STAGE, seconds: 9, rows: 1 }, new Set(['b']))).toBe(false)
  })
})

describe('a part of a route', () => {
  it('is found between the stages that stay, without those that are left out', () => {
    const planner = plannerOver({ b: 0.1, bb: 0.2 })
    expect(planner.find(SEGMENT, new Set())?.map(({ peer }) => peer)).toEqual(['b'])
    expect(planner.find(SEGMENT, new Set(['b']))?.map(({ peer }) => peer)).toEqual(['bb'])
    expect(planner.find(SEGMENT, new Set(['b', 'bb']))).toBeUndefined()
    expect(planner.find({ start: 1, end: 4 }, new Set())).toBeUndefined()
  })
})
