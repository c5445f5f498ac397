/** From what nodes say of themselves to what a route costs. Pure. */
import { halfRoundTrip, latencies } from '../pipeline/route.js'
import type { LayerRange } from '../models/types.js'
import type { NodeView, ServedShard } from '../swarm/types.js'
import type { RouteCost, StageCost } from './cost.js'

/** The part `[start, end)` of a route. */
export interface CostedStage extends LayerRange {
  peer: string
  local: boolean
}

export interface CostedModel {
  /** Hash, hex. */
  manifest: string
  layers: number
  /** As many layers as the head's weights are of; 0 where nobody knows. The embedding is a look-up. */
  headLayers: number
}

/** Undefined where a stage's node does not say any more that it serves these layers. */
export function routeCost(
  stages: readonly CostedStage[],
  model: CostedModel,
  nodes: readonly NodeView[]
): RouteCost | undefined {
  const known = new Map(nodes.map(node => [node.peer, node]))
  const costs: StageCost[] = []
  for (const stage of stages) {
    const shard = shardOf(known.get(stage.peer), model.manifest, stage)
    if (shard === undefined) return undefined
    costs.push(stageCost(stage, shard, model))
  }
  return { stages: costs, ways: waysOf(stages, nodes) }
}

function stageCost({ start, end }: LayerRange, shard: ServedShard, model: CostedModel): StageCost {
  const seconds = (end - start) * shard.secondsPerLayer * (1 + shard.queue)
  return { seconds, layerSeconds: end === model.layers ? seconds * layerShare(shard, model) : seconds }
}

/** What the node needs for one layer of the model; undefined where it serves none of it, or has not measured it. */
export function secondsOfLayer({ record }: NodeView, model: CostedModel): number | undefined {
  const shards = record.models.find(({ manifest }) => manifest === model.manifest)?.shards ?? []
  const shard = shards.find(({ secondsPerLayer }) => secondsPerLayer > 0)
  return shard && shard.secondsPerLayer * layerShare(shard, model)
}

/** The part of a shard's time that is its layers': where it has the head, that is measured with them. */
function layerShare({ start, end }: LayerRange, { layers, headLayers }: CostedModel): number {
  return end < layers ? 1 : (end - start) / (end - start + headLayers)
}

/** The whole model on one node. */
export function aloneCost(secondsPerLayer: number, { layers, headLayers }: CostedModel): RouteCost {
  const layerSeconds = layers * secondsPerLayer
  return { stages: [{ seconds: layerSeconds + headLayers * secondsPerLayer, layerSeconds }], ways: [] }
}

function shardOf(node: NodeView | undefined, manifest: string, { start, end }: LayerRange): ServedShard | undefined {
  const shards = node?.record.models.find(model => model.manifest === manifest)?.shards ?? []
  return shards.find(shard => shard.start === start && shard.end >= end)
}

function waysOf(stages: readonly CostedStage[], nodes: readonly NodeView[]): number[] {
  const roundTrips = new Map(nodes.map(({ peer, roundTrip }) => [peer, roundTrip]))
  const between = latencies(nodes)
  const toOrigin = ({ peer, local }: CostedStage): number => halfRoundTrip(local, roundTrips.get(peer))
  const outer = (stage: CostedStage | undefined): number[] =>
    stage === undefined || stage.local ? [] : [toOrigin(stage)]
  const inner = stages.slice(1).map((stage, i) => {
    const before = stages[i] ?? stage
    return between(before.peer, stage.peer) ?? toOrigin(before) + toOrigin(stage)
  })
  return [...outer(stages[0]), ...inner, ...outer(stages.at(-1))]
}
