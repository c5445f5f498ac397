/** Which layers of a model this node should hold. Pure. */
import type { LayerRange, StoredModel } from '../models/types.js'
import { isOnline } from '../pipeline/catalogue.js'
import { bytesOfRange } from '../scheduler/fit.js'
import { choosePlacement } from '../scheduler/placement.js'
import type { PlacedNode, PlacedShard, PlacementRequest } from '../scheduler/types.js'
import type { NodeView } from '../swarm/types.js'
import { HoldingError } from './errors.js'
import type { Footprint } from './footprint.js'

/** Layers a second of a node that nobody has measured: counts as one node like the others. */
const UNMEASURED = 1_000

export interface ChoiceInput {
  model: StoredModel
  footprint: Footprint
  /** What the owner's memory still has room for. */
  memoryBytes: number
  /** The owner's own choice. */
  pinned: LayerRange | undefined
  nodes: readonly NodeView[]
  /** Of this node, where it was measured. */
  layersPerSecond: number | undefined
}

/** @throws HoldingError */
export function chooseRange(input: ChoiceInput): LayerRange {
  const { model, footprint, memoryBytes, pinned } = input
  if (pinned !== undefined) return pinnedRange(input, pinned)
  const [kept] = model.shards.filter(({ range }) => bytesOfRange(footprint, range) <= memoryBytes)
  if (kept !== undefined) return kept.range
  const placement = choosePlacement(placementRequest(input))
  if (placement.kind === 'range') return { start: placement.start, end: placement.end }
  throw tooSmall(input, 'its smallest range of layers', placement.neededBytes)
}

function tooSmall({ model, memoryBytes }: ChoiceInput, what: string, neededBytes: number): HoldingError {
  return new HoldingError(
    'MEMORY_TOO_SMALL',
    `${model.manifest.name} needs at least ${neededBytes} bytes for ${what}, and ${memoryBytes} are left here. Give more with --memory, or less context with --context.`,
    { details: { manifest: model.id, neededBytes, memoryBytes } }
  )
}

function pinnedRange(input: ChoiceInput, pinned: LayerRange): LayerRange {
  const { name, layers, cuts } = input.model.manifest
  const bounds = [0, ...cuts, layers]
  const neededBytes = bytesOfRange(input.footprint, pinned)
  if (bounds.includes(pinned.start) && bounds.includes(pinned.end)) {
    if (neededBytes <= input.memoryBytes) return pinned
    throw tooSmall(input, `layers ${pinned.start}-${pinned.end}`, neededBytes)
  }
  throw new HoldingError(
    'PINNED_RANGE',
    `${name} cannot be cut at ${pinned.start}-${pinned.end}: it has ${layers} layers, and ranges may begin and end at ${bounds.join(', ')}.`,
    { details: { pinned, bounds } }
  )
}

/** What the scheduler needs to know, by what others say. */
export function placementRequest(input: Omit<ChoiceInput, 'pinned'>): PlacementRequest {
  const { model, footprint, memoryBytes, nodes } = input
  const others = placesOfOthers(nodes, model.id)
  const served = others.flatMap(({ shards }) => shards)
  return {
    ...footprint,
    layers: model.manifest.layers,
    cuts: model.manifest.cuts,
    memoryBytes,
    layersPerSecond: input.layersPerSecond ?? served[0]?.layersPerSecond ?? UNMEASURED,
    served,
    claims: others.flatMap(({ claims }) => claims)
  }
}

/** What other nodes serve of a model. */
export function servedBy(nodes: readonly NodeView[], manifest: string): PlacedNode[] {
  return placesOfOthers(nodes, manifest).flatMap(({ shards }) => shards)
}

function placesOfOthers(nodes: readonly NodeView[], manifest: string): Places[] {
  return nodes.filter(node => node.path !== 'self' && isOnline(node)).flatMap(node => placesOf(node, manifest))
}

interface Places {
  shards: PlacedNode[]
  claims: PlacedShard[]
}

function placesOf({ peer, record }: NodeView, manifest: string): Places[] {
  const held = record.models.find(model => model.manifest === manifest)
  if (held === undefined) return []
  // Where a node holds several models, nobody knows how it shares its memory among them.
  const isKnown = held.pinned !== true && record.models.length === 1 && held.shards.length === 1
  const memoryBytes = isKnown ? record.hardware.memoryBytes : undefined
  const shards = held.shards.map(shard => {
    return { peer, start: shard.start, end: shard.end, layersPerSecond: speedOf(shard) ?? UNMEASURED, memoryBytes }
  })
  const layersPerSecond = shards[0]?.layersPerSecond ?? UNMEASURED
  return [{ shards, claims: held.claim === undefined ? [] : [{ peer, ...held.claim, layersPerSecond }] }]
}

/** Layers per second, as places are chosen by; undefined where nobody has measured it. */
export function speedOf({ steadySecondsPerLayer }: { steadySecondsPerLayer: number }): number | undefined {
  return steadySecondsPerLayer > 0 ? 1 / steadySecondsPerLayer : undefined
}
