/** What the control interface shows, read from the node's parts. Pure. */
import type { ModelView, PeerShardView, PeerView, ShardView } from './control/contract.js'
import { modelBytes } from './models/sizes.js'
import type { Manifest } from './models/types.js'
import { offeredModels } from './pipeline/catalogue.js'
import type { ServedShard } from './pipeline/served-shard.js'
import type { NodeView, ServedShard as RecordedShard } from './swarm/types.js'
import type { Ban } from './trust/scores.js'

/** Nodes of the swarm, and after them banned peers of which no record is known. */
export function peerViews(nodes: readonly NodeView[], bans: readonly Ban[] = []): PeerView[] {
  const known = new Set(nodes.map(({ peer }) => peer))
  const left = new Map(bans.map(ban => [ban.peer, ban.left / 1_000]))
  const views = nodes.map(node => withBan(peerView(node), left.get(node.peer)))
  const others = bans.filter(({ peer }) => !known.has(peer))
  return [...views, ...others.map(({ peer }) => withBan(unknownPeer(peer), left.get(peer)))]
}

function withBan(view: PeerView, bannedSeconds: number | undefined): PeerView {
  return bannedSeconds === undefined ? view : { ...view, state: 'banned', bannedSeconds }
}

function unknownPeer(peer: string): PeerView {
  return {
    ...{ peer, name: '', self: false, agent: '', path: 'unconnected', roundTripMs: undefined, state: 'unknown' },
    bannedSeconds: undefined,
    hardware: { backend: '', device: '', threads: 0, memoryBytes: 0 },
    ...{ shards: [], relay: false }
  }
}

function peerView({ peer, record, path, roundTrip }: NodeView): PeerView {
  return {
    peer,
    name: record.name,
    self: path === 'self',
    agent: record.agent,
    path: path === 'gone' ? 'unconnected' : path,
    roundTripMs: roundTrip === undefined ? undefined : roundTrip * 1_000,
    state: record.state,
    bannedSeconds: undefined,
    hardware: record.hardware,
    shards: record.models.flatMap(({ name, shards }) => shards.map(shard => peerShardView(name, shard))),
    relay: record.relay
  }
}

function peerShardView(model: string, shard: RecordedShard): PeerShardView {
  const { start, end, secondsPerLayer, freeSessions, freeContext, queue } = shard
  return { model, start, end, secondsPerLayer, freeSessions, freeContext, queue }
}

/** @param manifests those that are here, by their hash: nodes tell others only a part of them */
export function modelViews(
  nodes: readonly NodeView[],
  manifests: ReadonlyMap<string, Manifest> = new Map()
): ModelView[] {
  return offeredModels(nodes).map(({ name, manifest, architecture, layers, cuts, missing, holders }) => {
    const known = manifests.get(manifest)
    return {
      ...{ name, manifest, architecture, layers, cuts },
      ...{ complete: missing.length === 0, missing, holders },
      ...(known && { bytes: modelBytes(known), context: known.context })
    }
  })
}

/** @param names of models by manifest hash */
export function shardViews(shards: readonly ServedShard[], names: ReadonlyMap<string, string>): ShardView[] {
  return shards.map(({ facts, secondsPerLayer, sessions, freeContext }) => ({
    model: names.get(facts.manifest) ?? facts.manifest,
    manifest: facts.manifest,
    ...facts.range,
    secondsPerLayer,
    sessions,
    context: facts.loaded.context,
    freeContext
  }))
}
