/** What the control interface shows, read from the node's parts. Pure. */
import type { ModelView, PeerView, ShardView } from './control/contract.js'
import { offeredModels } from './pipeline/catalogue.js'
import type { ServedShard } from './pipeline/served-shard.js'
import type { NodeView } from './swarm/types.js'

export function peerViews(nodes: readonly NodeView[]): PeerView[] {
  return nodes.map(({ peer, record, path, roundTrip }) => ({
    peer,
    name: record.name,
    self: path === 'self',
    agent: record.agent,
    path: path === 'gone' ? 'unconnected' : path,
    roundTripMs: roundTrip === undefined ? undefined : roundTrip * 1_000,
    state: record.state,
    hardware: record.hardware,
    shards: record.models.flatMap(({ name, shards }) => shards.map(({ start, end }) => ({ model: name, start, end }))),
    relay: record.relay
  }))
}

export function modelViews(nodes: readonly NodeView[]): ModelView[] {
  return offeredModels(nodes).map(({ name, manifest, architecture, layers, cuts, missing, holders }) => ({
    ...{ name, manifest, architecture, layers, cuts },
    ...{ complete: missing.length === 0, missing, holders }
  }))
}

/** @param names of models by manifest hash */
export function shardViews(shards: readonly ServedShard[], names: ReadonlyMap<string, string>): ShardView[] {
  return shards.map(({ facts, secondsPerLayer, sessions, freeContext }) => ({
    model: names.get(facts.manifest) ?? facts.manifest,
    manifest: facts.manifest,
    ...facts.range,
    secondsPerLayer,
    sessions,
    freeContext
  }))
}
