/** What this node says of the models that it holds. Pure. */
import type { ServedShard } from '../pipeline/served-shard.js'
import type { LayerRange, StoredModel } from '../models/types.js'
import type { HeldModel, ServedShard as AnnouncedShard } from '../swarm/types.js'
import type { Intent } from './intents.js'
import { MAX_MODELS } from '../../protocol/limits.js'

export interface HeldPieces {
  model: StoredModel
  /** Ranges whose pieces can be had here. */
  ranges: LayerRange[]
}

/** The models with shards first: a record has room for `MAX_MODELS`. */
export function heldModels(
  held: readonly HeldPieces[],
  served: readonly ServedShard[],
  intentOf: (manifest: string) => Intent
): HeldModel[] {
  return held
    .map(({ model, ranges }) => ({ ...heldModel(model, ranges, served), ...intentOf(model.id) }))
    .filter(({ pieces, shards, claim }) => pieces.length > 0 || shards.length > 0 || claim !== undefined)
    .sort((a, b) => b.shards.length - a.shards.length)
    .slice(0, MAX_MODELS)
}

function heldModel({ id, manifest }: StoredModel, pieces: LayerRange[], served: readonly ServedShard[]): HeldModel {
  const { name, architecture, layers, cuts } = manifest
  const shards = served.filter(({ facts }) => facts.manifest === id).map(announced)
  return { manifest: id, name, architecture, layers, cuts, pieces: widest(pieces), shards }
}

/** Without ranges that lie within another one: the owner's whole file makes the shards beside it no news. */
function widest(ranges: readonly LayerRange[]): LayerRange[] {
  const within = (a: LayerRange, b: LayerRange): boolean => a !== b && a.start >= b.start && a.end <= b.end
  return ranges.filter(
    (range, i) => !ranges.some((other, j) => within(range, other) && (j < i || !within(other, range)))
  )
}

function announced(shard: ServedShard): AnnouncedShard {
  const { facts, secondsPerLayer, steadySecondsPerLayer, freeSessions, freeContext, queue } = shard
  return { ...facts.range, secondsPerLayer, steadySecondsPerLayer, freeSessions, freeContext, queue }
}
