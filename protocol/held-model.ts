import { bytesOf, cutList, finite, hexOf, integer, layerRange, list, someText } from './checks.js'
import type { flambeau } from './generated/messages.js'
import { MAX_COUNT, MAX_LAYERS, MAX_NAME_BYTES, MAX_RANGES, MAX_SECONDS, MAX_SHARDS } from './limits.js'
import type { LayerRange } from './manifest.js'

/** What a node holds of one model. */
export interface HeldModel {
  /** Manifest hash, hex. */
  manifest: string
  name: string
  architecture: string
  /** Of the whole model. */
  layers: number
  cuts: number[]
  /** Layer ranges whose pieces can be fetched from this node. */
  pieces: LayerRange[]
  /** Shards that are loaded and take sessions. */
  shards: ServedShard[]
  /** Layers that the node is about to serve: it fetches or loads them, and will leave those that it serves. */
  claim?: LayerRange
  /** The owner chose the layers: the node does not move to others. */
  pinned?: boolean
}

export interface ServedShard {
  start: number
  end: number
  /** For one token, measured lately. */
  secondsPerLayer: number
  /** The same without the load of the moment: by what places are chosen. */
  steadySecondsPerLayer: number
  freeSessions: number
  /** Positions of KV. */
  freeContext: number
  /** Steps waiting, on average; float32 on the wire. */
  queue: number
}

export function encodeHeldModel(model: HeldModel): flambeau.HeldModel.$Properties {
  checkModel(model)
  return { ...model, manifest: bytesOf('manifest', model.manifest) }
}

export function decodeHeldModel(message: flambeau.HeldModel.$Properties): HeldModel {
  const model = {
    manifest: hexOf('manifest', message.manifest ?? new Uint8Array(0)),
    name: message.name ?? '',
    architecture: message.architecture ?? '',
    layers: message.layers ?? 0,
    cuts: message.cuts ?? [],
    pieces: (message.pieces ?? []).map(rangeOf),
    shards: (message.shards ?? []).map(decodeShard),
    ...(message.claim ? { claim: rangeOf(message.claim) } : {}),
    ...(message.pinned === true ? { pinned: true } : {})
  }
  checkModel(model)
  return model
}

function rangeOf({ start, end }: flambeau.LayerRange.$Properties): LayerRange {
  return { start: start ?? 0, end: end ?? 0 }
}

function decodeShard(shard: flambeau.ServedShard.$Properties): ServedShard {
  const secondsPerLayer = shard.secondsPerLayer ?? 0
  const steadySecondsPerLayer = shard.steadySecondsPerLayer ?? 0
  return {
    start: shard.start ?? 0,
    end: shard.end ?? 0,
    secondsPerLayer,
    // Who does not tell them apart has one speed.
    steadySecondsPerLayer: steadySecondsPerLayer === 0 ? secondsPerLayer : steadySecondsPerLayer,
    freeSessions: shard.freeSessions ?? 0,
    freeContext: shard.freeContext ?? 0,
    queue: shard.queue ?? 0
  }
}

function checkModel({ name, architecture, layers, cuts, pieces, shards, claim }: HeldModel): void {
  someText('model name', name, MAX_NAME_BYTES)
  someText('architecture', architecture, MAX_NAME_BYTES)
  integer('layers', layers, { min: 1, max: MAX_LAYERS })
  cutList(cuts, layers)
  for (const { start, end } of list('ranges of pieces', pieces, MAX_RANGES)) layerRange('pieces', start, end, layers)
  for (const shard of list('shards', shards, MAX_SHARDS)) checkShard(shard, layers)
  if (claim !== undefined) layerRange('claim', claim.start, claim.end, layers)
}

function checkShard(shard: ServedShard, layers: number): void {
  layerRange('shard', shard.start, shard.end, layers)
  finite('seconds per layer', shard.secondsPerLayer, { min: 0, max: MAX_SECONDS })
  finite('steady seconds per layer', shard.steadySecondsPerLayer, { min: 0, max: MAX_SECONDS })
  integer('free sessions', shard.freeSessions, { min: 0, max: MAX_COUNT })
  integer('free context', shard.freeContext, { min: 0, max: 0xffffffff })
  finite('queue', shard.queue, { min: 0, max: MAX_COUNT })
}
