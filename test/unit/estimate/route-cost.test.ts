import { describe, expect, it } from 'vitest'
import { aloneCost, routeCost, secondsOfLayer } from '../../../node/estimate/route-cost.js'
import type { NodeView } from '../../../node/swarm/types.js'
import { held, nodeView, shard } from '../pipeline/swarm-views.js'
import { LAYERS, MANIFEST } from '../pipeline/toy-mesh.js'

const MODEL = { manifest: MANIFEST, layers: LAYERS, headLayers: 1 }

function nodes(): NodeView[] {
  return [
    nodeView('me', [held({ shards: [shard(0, 2)] })], { path: 'self' }),
    nodeView('b', [held({ shards: [shard(2, 4, { secondsPerLayer: 0.002, queue: 1 })] })], {
      latencies: [{ peer: 'c', seconds: 0.003 }]
    }),
    nodeView('c', [held({ shards: [shard(4, 6, { secondsPerLayer: 0.003 })] })])
  ]
}

const stage = (peer: string, start: number, end: number) => ({ peer, start, end, local: peer === 'me' })

describe('the cost of a route', () => {
  it('has a stage for each, with its queue, and a way for each pair of machines', () => {
    const cost = routeCost([stage('me', 0, 2), stage('b', 2, 4), stage('c', 4, 6)], MODEL, nodes())
    expect(cost?.stages.map(({ seconds }) => seconds)).toEqual([0.002, 0.008, 0.006])
    // To b half of its round trip, from b to c what b says, back half of c's.
    expect(cost?.ways).toEqual([0.01, 0.003, 0.01])
  })

  it('takes both ways to the origin where two nodes do not know each other', () => {
    const unknown = nodes().map(node => ({ ...node, record: { ...node.record, latencies: [] } }))
    expect(routeCost([stage('b', 2, 4), stage('c', 4, 6)], MODEL, unknown)?.ways).toEqual([0.01, 0.02, 0.01])
  })

  it('does not repeat the head for each row of a prompt', () => {
    const [last] = routeCost([stage('c', 4, 6)], MODEL, nodes())?.stages ?? []
    expect(last).toEqual({ seconds: 0.006, layerSeconds: 0.006 * (2 / 3) })
  })

  it('counts the layers that the route uses, where it leaves a shard early', () => {
    expect(routeCost([stage('me', 0, 1)], MODEL, nodes())?.stages).toEqual([{ seconds: 0.001, layerSeconds: 0.001 }])
  })

  it('is not known for a node that has gone, or serves other layers', () => {
    expect(routeCost([stage('d', 0, 6)], MODEL, nodes())).toBeUndefined()
    expect(routeCost([stage('b', 2, 5)], MODEL, nodes())).toBeUndefined()
  })
})

describe('one machine alone', () => {
  it('computes all layers, and the head as the layers that it weighs', () => {
    expect(aloneCost(0.002, MODEL)).toEqual({
      stages: [{ seconds: 0.002 * LAYERS + 0.002, layerSeconds: 0.002 * LAYERS }],
      ways: []
    })
  })

  it('is as fast for a layer as it was measured, less the head where that was measured with it', () => {
    const [me, , c] = nodes()
    expect(me && secondsOfLayer(me, MODEL)).toBe(0.001)
    expect(c && secondsOfLayer(c, MODEL)).toBeCloseTo(0.002, 9)
    expect(secondsOfLayer(nodeView('d', []), MODEL)).toBeUndefined()
  })
})
