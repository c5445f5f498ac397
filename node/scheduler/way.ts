import type { Placement, Placements } from './placements.js'

/** Moves by which a way may be longer than the number of nodes that move: one of them makes room for a while. */
const DETOURS = 2
/** Moves of a way with detours, at most. */
const LONGEST_DETOUR = 7
/** Placements that are kept after each move, at most. */
const MAX_KEPT = 1_000

export interface Ends {
  /** The option that each node serves. */
  from: readonly number[]
  /** The option that each is to serve. */
  to: readonly number[]
  /** How many each node has. */
  options: readonly number[]
  /** What the slowest layer must keep with each move, in parts of what it had before it. */
  kept: number
  /** Whether a node can serve two of its options at once, so that nothing is lost while it moves. */
  fitBeside: (node: number, option: number, other: number) => boolean
  /** Whether no more is to be looked at. */
  isTooMuch: () => boolean
}

interface Step {
  node: number
  option: number
}

export interface Way {
  first: Step
  moves: number
}

interface Reached {
  placement: Placement
  first: Step | undefined
  /** Tokens per second of the slowest layer where it was slowest on the way. */
  slowest: number
}

/**
 * The shortest order in which nodes move from one placement to another, one at a time and never through a hole; of several
 * the one that keeps the slowest layer fastest on the way. Undefined where there is none.
 */
export function shortestWay(placements: Placements, ends: Ends): Way | undefined {
  const direct = distance(ends.from, ends.to)
  const most = Math.max(direct, Math.min(direct + DETOURS, LONGEST_DETOUR))
  for (let moves = direct; moves <= most; moves++) {
    const first = wayOf(placements, ends, moves)
    if (first !== undefined) return { first, moves }
  }
  return undefined
}

/** The first step of a way with so many moves. */
function wayOf(placements: Placements, ends: Ends, moves: number): Step | undefined {
  let reached: Iterable<Reached> = [{ placement: placements.at(ends.from), first: undefined, slowest: Infinity }]
  for (let left = moves; left > 0; left--) {
    const next = new Map<Placement, Reached>()
    for (const state of reached) {
      for (const step of stepsOf(state.placement.chosen, ends, left)) {
        placements.effort++
        take(ends, { state, step, next, left })
      }
      if (next.size > MAX_KEPT || ends.isTooMuch()) return undefined
    }
    reached = next.values()
  }
  const [end] = reached
  return end?.first
}

interface Taken {
  state: Reached
  step: Step
  next: Map<Placement, Reached>
  left: number
}

/** Adds to `next` where a step leads, if it is safe and not known to be reached better. */
function take(ends: Ends, { state, step, next, left }: Taken): void {
  const { node, option } = step
  const { placement: before } = state
  // Before it is remembered: most are not safe.
  const isKept = ends.fitBeside(node, before.chosen[node] ?? 0, option)
  if (!isKept && !before.isCompleteWithout(node)) return
  const placement = before.with(node, option)
  const known = next.get(placement)?.slowest ?? 0
  if (known >= state.slowest) return
  const rate = left === 1 ? Infinity : placement.slowest
  const slowest = Math.min(state.slowest, rate)
  if (rate < before.slowest * ends.kept || slowest <= known) return
  next.set(placement, { placement, first: state.first ?? step, slowest })
}

/** The steps after which the end can still be reached in time. */
function* stepsOf(placement: readonly number[], { to, options }: Ends, left: number): Generator<Step> {
  const spare = left - distance(placement, to)
  for (const [node, option] of to.entries()) {
    const isThere = placement[node] === option
    if (!isThere) yield { node, option }
    if (spare < (isThere ? 2 : 1)) continue
    for (let other = 0; other < (options[node] ?? 0); other++)
      if (other !== option && other !== placement[node]) yield { node, option: other }
  }
}

function distance(a: readonly number[], b: readonly number[]): number {
  return a.filter((option, node) => option !== b[node]).length
}
