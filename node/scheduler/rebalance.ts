import type { LayerRange } from '../../protocol/manifest.js'
import { chained } from './chain.js'
import { afterClaims, staying } from './claims.js'
import { missingLayers } from './coverage.js'
import { fitBeside, rangesThatFit } from './fit.js'
import { canPlan, nextMove } from './plan.js'
import { addRate, compareLists, layerRates, slowest, softMinimum, usableRates } from './throughput.js'
import type { PlacedNode, PlacedShard, Rebalance, RebalanceRequest } from './types.js'

/**
 * What a move of a plan must raise the throughput of the slowest layer by, at least: a percent is what speeds are measured
 * to. All nodes of a swarm look for the best plan with this.
 */
const PLAN_GAIN = 1.01

/**
 * A plan is begun, or gone on with, only by a node that has served its layers for so many hours, divided by the share that
 * each move gains. A move costs the swarm something once and earns as long as the swarm stays as it is: probably for about
 * as long as it has been so.
 */
const GAIN_HOURS = 0.15

/**
 * In a larger one, where a node is a small part of every layer, a move must raise the soft minimum to so many times what
 * it is, and must not lower the slowest layer.
 */
const SINGLE_GAIN = 1.01
/** There only to close a hole does a node leave layers that it has served for less. */
export const REST_SECONDS = 7_200
/** Looks of one node at its place come this often, seconds on average: about as often as a small swarm's nodes come and go. */
const LOOK_SECONDS = 300
/** Parts of it by which a look comes earlier or later: nodes that started together do not look together. */
const LOOK_JITTER = 0.5
/** Where layers are missing that were there, every node looks within so many seconds, and not all at once. */
const HOLE_LOOK_SECONDS = 15
/**
 * A claim waits so long before anything is fetched for it: everybody hears of it meanwhile, and it of theirs. Two rounds
 * of the directory, give or take.
 */
export const SETTLE_SECONDS = 30

/** Seconds until a node looks again, by a random number in [0, 1). */
export function lookAgainAfter(random: number): number {
  return LOOK_SECONDS * (1 - LOOK_JITTER + 2 * LOOK_JITTER * random)
}

/** The same where a node hears that layers of its model have lost their last holder. */
export function lookAtHoleAfter(random: number): number {
  return HOLE_LOOK_SECONDS * random
}

/**
 * Whether a node that serves `range` should serve other layers instead. Where there is a hole: those that close most of
 * it. Else in a small swarm, what `plan.ts` says; in a larger one, those that help the slowest layers most, where that is
 * by `SINGLE_GAIN` at least. Never
 *
 * - when a layer of `range`, or a complete chain, would be lost, at the end or meanwhile, with only those counted who
 *   stay where they are;
 * - to layers that somebody else has claimed.
 *
 * A swarm whose nodes neither come nor go ends up where nobody moves.
 */
export function rebalance(request: RebalanceRequest): Rebalance {
  // In a large swarm somebody is on the way to most layers most of the time: then nothing else need be looked at.
  const options = rangesThatFit(request, request.memoryBytes).filter(option => isFree(request, option))
  if (options.length === 0) return { kind: 'stay' }
  const now = situationOf(request)
  if (now.slowest > 0 && canPlan(request, everybody(request))) {
    // Somebody is on the way already: what that makes of the swarm is waited for.
    return request.claims.length > 0 ? { kind: 'stay' } : planned(request)
  }
  if (now.slowest > 0 && request.servedSeconds < REST_SECONDS) return { kind: 'stay' }
  let best: { range: LayerRange; merit: number[] } | undefined
  for (const range of options) {
    if (!mayHelp(request, now, range)) continue
    const merit = gain(request, now, range)
    if (merit === undefined || !mayLeave(request, range)) continue
    if (best === undefined || compareLists(merit, best.merit) > 0) best = { range, merit }
  }
  return best === undefined ? { kind: 'stay' } : { kind: 'move', ...best.range }
}

/** The same plan for everybody who sees the same swarm, or one would undo what another one has begun. */
function planned(request: RebalanceRequest): Rebalance {
  const move = nextMove(request, everybody(request), { gain: PLAN_GAIN })
  if (move?.peer !== request.peer) return { kind: 'stay' }
  const least = 1 + (GAIN_HOURS * 3_600) / request.servedSeconds
  return move.gain < least ** move.moves ? { kind: 'stay' } : { kind: 'move', ...move.range }
}

interface Situation {
  /** Where others will be once their claims are kept. */
  others: readonly PlacedShard[]
  /** Tokens per second of each layer without this node, whether routes can use them or not. */
  rates: number[]
  /** Of the slowest layer, with this node; 0 where there is no complete chain. */
  slowest: number
  /** The soft minimum of all layers. */
  soft: number
  missing: number
}

function situationOf(request: RebalanceRequest): Situation {
  const { layers } = request
  const others = afterClaims(request)
  const planned = [...others, own(request, request.range)]
  const usable = usableRates(layers, planned)
  return {
    others,
    rates: layerRates(layers, others),
    slowest: slowest(usable),
    soft: softMinimum(usable),
    missing: countLayers(missingLayers(layers, planned))
  }
}

/** Whether nobody else is about to serve any of these layers. */
function isFree({ claims, range }: RebalanceRequest, { start, end }: LayerRange): boolean {
  if (start === range.start && end === range.end) return false
  return claims.every(claim => claim.end <= start || end <= claim.start)
}

/** A quick look that ignores chaining, which can only lower rates: most ranges need no closer one. */
function mayHelp({ layersPerSecond }: RebalanceRequest, now: Situation, range: LayerRange): boolean {
  const rates = addRate([...now.rates], { ...range, layersPerSecond })
  if (now.slowest > 0) return softMinimum(rates) >= now.soft * SINGLE_GAIN
  return rates.filter(rate => rate === 0).length <= now.missing
}

/** How good the swarm would be, most important first; undefined where that is not worth a move. */
function gain(request: RebalanceRequest, now: Situation, range: LayerRange): number[] | undefined {
  const { layers } = request
  const after = [...now.others, own(request, range)]
  const usable = usableRates(layers, after)
  if (now.slowest > 0) {
    const soft = softMinimum(usable)
    return soft >= now.soft * SINGLE_GAIN && slowest(usable) >= now.slowest ? [soft] : undefined
  }
  const missing = countLayers(missingLayers(layers, after))
  const closes = missing < now.missing || slowest(usable) > 0
  return closes ? [-missing, ...usable.sort((a, b) => a - b)] : undefined
}

/**
 * Whether nothing is lost when this node leaves its layers for others: before it serves those, unless both fit its memory.
 * Peers that have claimed other layers are leaving too, and do not count.
 */
export function mayLeave(request: RebalanceRequest, range: LayerRange): boolean {
  const { layers, memoryBytes } = request
  const isBeside = fitBeside(request, { ...request.range, memoryBytes }, range)
  const left = [...staying(request), ...(isBeside ? [own(request, range)] : [])]
  const lost = missingLayers(layers, left).some(
    ({ start, end }) => start < request.range.end && request.range.start < end
  )
  if (lost) return false
  return isComplete(layers, left) || !isComplete(layers, everybody(request))
}

function everybody(request: RebalanceRequest): PlacedNode[] {
  return [...request.served, own(request, request.range)]
}

function own({ peer, layersPerSecond, memoryBytes }: RebalanceRequest, { start, end }: LayerRange): PlacedNode {
  return { peer, start, end, layersPerSecond, memoryBytes }
}

function isComplete(layers: number, shards: readonly PlacedShard[]): boolean {
  return chained(layers, shards).size > 0
}

function countLayers(ranges: readonly LayerRange[]): number {
  return ranges.reduce((sum, { start, end }) => sum + end - start, 0)
}
