import type { LayerRange } from '../../protocol/manifest.js'
import { chained, follows, reach } from './chain.js'
import { missingLayers } from './coverage.js'
import type { Placement, PlacementRequest } from './types.js'

type Served = PlacementRequest['served'][number]

/** What the swarm looks like without this node. */
interface Situation {
  /** Some layers are held by nobody. */
  filling: boolean
  /** Tokens per second of each layer; 0 where nobody holds it. */
  rates: number[]
  fromStart: Served[]
  toEnd: Served[]
  /** Layers where a range would begin right after another one, or at the model's beginning. */
  seams: ReadonlySet<number>
}

/** Peer id of the shard to be placed: nobody else's. */
const SELF = ''

/** Layers per second: a peer that has not measured itself yet still holds its layers. */
const SLOWEST = 1e-9

/**
 * The range that a node should hold. While layers are held by nobody: the one that closes most of the gap, put where
 * another range ends so that no smaller gap stays behind. Otherwise, among those that a route could use: the one that
 * raises the throughput of the slowest layers most. Ranges are as long as memory allows from their first layer on.
 *
 * A peer with a range of n layers adds its layers per second divided by n to each of them: what it carries when every
 * token passes through the whole range. Raising the minimum is the rule of Petals (arXiv:2209.01188, section 3.2); what
 * counts first, in order, is written in `meritOf`.
 */
export function choosePlacement(request: PlacementRequest): Placement {
  const situation = situationOf(request)
  let best: { range: LayerRange; merit: number[] } | undefined
  for (const range of rangesThatFit(request)) {
    const merit = meritOf(request, situation, range)
    if (best === undefined || compareMerits(merit, best.merit) > 0) best = { range, merit }
  }
  return best === undefined ? { kind: 'too-small', neededBytes: smallest(request) } : { kind: 'range', ...best.range }
}

/** What a range does for the swarm, most important first, larger is better. */
function meritOf({ layers, layersPerSecond }: PlacementRequest, situation: Situation, range: LayerRange): number[] {
  const { filling, seams } = situation
  const rates = addRate([...situation.rates], range, layersPerSecond)
  const holes = rates.filter(rate => rate === 0).length
  const atSeam = Number(seams.has(range.start))
  return [
    -holes,
    Number(usable(layers, situation, range)),
    filling ? atSeam : 0,
    ...rates.sort((a, b) => a - b), // the slowest layer, then the one after it, ...
    atSeam,
    range.end - range.start,
    -range.start
  ]
}

function compareMerits(a: readonly number[], b: readonly number[]): number {
  const index = a.findIndex((value, at) => value !== b[at])
  return (a[index] ?? 0) - (b[index] ?? 0)
}

/** Whether a complete chain could pass through the range. */
function usable(layers: number, { fromStart, toEnd }: Situation, range: LayerRange): boolean {
  const link = { ...range, peer: SELF }
  const entered = range.start === 0 || fromStart.some(before => follows(before, link))
  return entered && (range.end === layers || toEnd.some(after => follows(link, after)))
}

function situationOf({ layers, served }: PlacementRequest): Situation {
  const filling = missingLayers(layers, served).length > 0
  const counted = filling ? served : chained(layers, served)
  const rates = Array.from({ length: layers }, () => 0)
  for (const shard of counted) addRate(rates, shard, shard.layersPerSecond)
  return { filling, rates, ...reach(layers, served), seams: new Set([0, ...served.map(({ end }) => end)]) }
}

/** In place. */
function addRate(rates: number[], { start, end }: LayerRange, layersPerSecond: number): number[] {
  const rate = Math.max(layersPerSecond, SLOWEST) / (end - start)
  for (let layer = start; layer < end; layer++) rates[layer] = (rates[layer] ?? 0) + rate
  return rates
}

/** From each layer where a range may begin, the longest one that fits. */
function rangesThatFit(request: PlacementRequest): LayerRange[] {
  const bounds = boundsOf(request)
  const bytes = bytesBefore(request)
  return bounds.flatMap(start => {
    const end = bounds.findLast(
      bound => bound > start && rangeBytes(request, bytes, { start, end: bound }) <= request.memoryBytes
    )
    return end === undefined ? [] : [{ start, end }]
  })
}

/** Bytes of the smallest range that anyone may hold. */
function smallest(request: PlacementRequest): number {
  const bounds = boundsOf(request)
  const bytes = bytesBefore(request)
  const sizes = bounds.slice(1).map((end, index) => rangeBytes(request, bytes, { start: bounds[index] ?? 0, end }))
  return Math.min(...sizes)
}

function boundsOf({ layers, cuts }: PlacementRequest): number[] {
  return [0, ...cuts, layers]
}

/** Sums of `layerBytes` up to each layer. */
function bytesBefore({ layerBytes }: PlacementRequest): number[] {
  let sum = 0
  return [0, ...layerBytes.map(bytes => (sum += bytes))]
}

function rangeBytes(
  { layers, embeddingBytes, headBytes }: PlacementRequest,
  bytes: readonly number[],
  { start, end }: LayerRange
): number {
  const ends = (start === 0 ? embeddingBytes : 0) + (end === layers ? headBytes : 0)
  return (bytes[end] ?? Infinity) - (bytes[start] ?? 0) + ends
}
