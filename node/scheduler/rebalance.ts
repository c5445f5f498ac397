import type { LayerRange } from '../../protocol/manifest.js'
import { joiners } from './claims.js'
import { closingRange } from './holes.js'
import { canPlan, type Move, nextMoves } from './plan.js'
import { everybody, mayLeave, servedWith } from './relocation.js'
import { moveOfOthers, ownMove } from './single-move.js'
import { slowest, softMinimum, usableRates } from './throughput.js'
import type { PlacedNode, Rebalance, RebalanceRequest } from './types.js'

/**
 * A move is made only by a node that has served its layers for so many hours, divided by the share that the move gains. It
 * costs the swarm something once and earns as long as the swarm stays as it is: probably for about as long as it has been
 * so. A move of a plan is compared by what the slowest layer gains ...
 */
const PLANNED_GAIN_HOURS = 0.2
/** ... and a single one, of a node that is a small part of its swarm, by what the soft minimum does. */
const SINGLE_GAIN_HOURS = 0.02
/** Nobody expects a swarm to stand for longer than this: what gains less than that pays for is left. */
const LONGEST_HOURS = 32
/** What each move of a plan must gain at least: what eight of them, the most of a plan, do not pay for is 5 %. */
const LEAST_PLANNED_GAIN = 1 + PLANNED_GAIN_HOURS / LONGEST_HOURS
/** What a single move must gain at least. */
const LEAST_SINGLE_GAIN = 1.01
/** A node does not move while the move of another one would gain so many times as much. */
const MUCH_BETTER = 1.25

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
 * it. Else in a small swarm, what `plan.ts` says; in a larger one, those that help the slowest layers most, where that
 * gains enough and nobody else's move gains much more. Never
 *
 * - when a layer of `range`, or a complete chain, would be lost, at the end or meanwhile, with only those counted who
 *   stay where they are;
 * - to layers that somebody else has claimed, unless a plan wants both there: it counts those who join.
 *
 * A swarm whose nodes neither come nor go ends up where nobody moves.
 */
export function rebalance(request: RebalanceRequest): Rebalance {
  const { layers, claims } = request
  const rates = usableRates(layers, servedWith(request, request.range))
  if (slowest(rates) === 0) return moveTo(closingRange(request))
  const joining = joiners(request)
  const nodes = [...everybody(request), ...joining]
  if (!canPlan(request, nodes)) return improved(request, softMinimum(rates))
  // Somebody leaves layers for others already: what that makes of the swarm is waited for.
  return claims.length > joining.length ? { kind: 'stay' } : planned(request, nodes)
}

/** In a larger swarm: about the best move of all, or none. */
function improved(request: RebalanceRequest, now: number): Rebalance {
  const move = ownMove(request, { now, least: Math.max(LEAST_SINGLE_GAIN, leastGain(SINGLE_GAIN_HOURS, request)) })
  if (move === undefined) return { kind: 'stay' }
  const muchBetter = 1 + (move.gain - 1) * MUCH_BETTER
  const first = moveOfOthers(request, { now, least: muchBetter })
  return first === undefined ? moveTo(move.range) : { kind: 'stay', awaits: first.mover }
}

/**
 * The same plan for everybody who sees the same swarm, or one would undo what another one has begun. Until that pays, a
 * single move may that is worth less: plans are long, and swarms whose nodes come and go seldom stand for as long. Whether
 * it pays for another node is taken to be as for this one, since nobody says how long it has served.
 *
 * @param nodes with those who join: they count where they will serve and stay there, but nobody may leave layers to them yet
 */
function planned(request: RebalanceRequest, nodes: PlacedNode[]): Rebalance {
  const least = leastGain(PLANNED_GAIN_HOURS, request)
  const pays = (move: Move): boolean => move.gain >= least ** move.moves
  const moves = nextMoves(request, nodes, { gain: LEAST_PLANNED_GAIN })
  const move = moves.find(pays) ?? moves[0]
  if (move?.peer !== request.peer) return { kind: 'stay', awaits: nodes.find(({ peer }) => peer === move?.peer) }
  return pays(move) && mayLeave(request, move.range) ? moveTo(move.range) : { kind: 'stay' }
}

function leastGain(hours: number, { servedSeconds }: RebalanceRequest): number {
  return 1 + hours / Math.min(servedSeconds / 3_600, LONGEST_HOURS)
}

function moveTo(range: LayerRange | undefined): Rebalance {
  return range === undefined ? { kind: 'stay' } : { kind: 'move', ...range }
}
