/** The one move that helps most, for swarms of too many nodes for a plan: each is a small part of every layer there. */
import type { LayerRange } from '../../protocol/manifest.js'
import { staying } from './claims.js'
import { freeRanges, mayLeave, nodeAt, servedWith, viewOf } from './relocation.js'
import { layerRates, rateOf, softMinimum, softMinimumOf, usableRates, weightOf } from './throughput.js'
import type { PlacedNode, RebalanceRequest } from './types.js'

/** Moves that are looked at closely, at most: nearly always the first one is the best. */
const MAX_CLOSE_LOOKS = 64

export interface SingleMove {
  /** With the layers that it leaves. */
  mover: PlacedNode
  range: LayerRange
  /** By what it multiplies the soft minimum. */
  gain: number
}

/** A move as it looks when every shard counts, whether a complete chain passes through it or not. */
interface Candidate {
  mover: PlacedNode
  range: LayerRange
  /** The soft minimum after it is no more than this. */
  bound: number
}

interface Aim {
  /** The soft minimum as it is, of the rates that complete chains can use. */
  now: number
  /** What a move must multiply it by, at least. */
  least: number
}

/** The best move that this node can make, if one gains enough, and loses nothing. */
export function ownMove(request: RebalanceRequest, aim: Aim): SingleMove | undefined {
  return bestMove(request, [nodeAt(request, request.range)], aim)
}

/** The same of the others: of those who may move and have not claimed other layers already. */
export function moveOfOthers(request: RebalanceRequest, aim: Aim): SingleMove | undefined {
  return bestMove(request, staying(request), aim)
}

function bestMove(request: RebalanceRequest, movers: readonly PlacedNode[], aim: Aim): SingleMove | undefined {
  const { layers } = request
  const { now, least } = aim
  const rates = layerRates(layers, servedWith(request, request.range))
  const candidates = movers
    .flatMap(mover => candidatesOf(request, mover, rates))
    .filter(({ bound }) => bound >= now * least)
    .sort((a, b) => b.bound - a.bound)
  let best: SingleMove | undefined
  for (const { mover, range, bound } of candidates.slice(0, MAX_CLOSE_LOOKS)) {
    if (best !== undefined && bound <= best.gain * now) break
    const view = viewOf(request, mover)
    const gain = softMinimum(usableRates(layers, servedWith(view, range))) / now
    if (gain >= Math.max(least, best?.gain ?? 0) && mayLeave(view, range)) best = { mover, range, gain }
  }
  return best
}

/** @param rates of all layers, the mover's own shard included */
function candidatesOf(request: RebalanceRequest, mover: PlacedNode, rates: readonly number[]): Candidate[] {
  const { start, end, layersPerSecond, memoryBytes = 0 } = mover
  const leaves = rateOf(mover)
  const left = rates.map((rate, layer) => (start <= layer && layer < end ? Math.max(0, rate - leaves) : rate))
  const weights = left.map(weightOf)
  const before = sums(weights)
  const behind = sums(weights.toReversed()).reverse()
  return freeRanges({ ...request, range: mover, memoryBytes }).map(range => {
    const adds = rateOf({ ...range, layersPerSecond })
    let weight = (before[range.start] ?? 0) + (behind[range.end] ?? 0)
    for (const rate of left.slice(range.start, range.end)) weight += weightOf(rate + adds)
    return { mover, range, bound: softMinimumOf(weight) }
  })
}

/** The sums of the first 0, 1, ... values. */
function sums(values: readonly number[]): number[] {
  let sum = 0
  return [0, ...values.map(value => (sum += value))]
}
