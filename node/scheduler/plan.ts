/**
 * Several moves that together do what no single one does: a slow node is relieved before it makes room for a fast one.
 * Every node of a swarm works out the same plan from the same view, and only the one whose move is first moves.
 */
import type { LayerRange } from '../../protocol/manifest.js'
import { bytesOfRange, rangesThatFit } from './fit.js'
import { type Option, optionOf, Placements } from './placements.js'
import type { ModelSize, PlacedNode } from './types.js'

/** Moves of one search: later ones are far away, and nodes come and go. */
const MAX_MOVES = 6
/** Placements that one search looks at: some 50 ms of a core. Larger swarms need none of it: there single moves do. */
const MAX_LOOKS = 32_000
/** Placements that are kept after each move, at least: fewer, and the search sees no more than single moves do. */
const MIN_WIDTH = 8
/** What the slowest layer keeps at least, in parts of what it had, until the last move of a plan is made. */
const KEPT_MEANWHILE = 0.5
/** Moves until a swarm comes to rest; what takes longer is not begun. */
const MAX_STEPS = 16

export interface Move {
  peer: string
  range: LayerRange
}

/** Which of its options each node serves, and how it came about. */
interface State {
  chosen: readonly number[]
  /** The placement after the first move. */
  first: State | undefined
  /** Who made that move. */
  mover: number
  /** Tokens per second of the slowest layer. */
  slowest: number
  /** Smaller is better: slow layers count most, but all do, so that a way to a better minimum can be seen. */
  slowness: number
}

/** How many placements are kept after each move. */
function widthOf({ cuts }: ModelSize, nodes: readonly PlacedNode[]): number {
  return Math.floor(MAX_LOOKS / MAX_MOVES / (nodes.length * (cuts.length + 1)))
}

/** Whether there are few enough nodes and cuts to look more than one move ahead. */
export function canPlan(size: ModelSize, nodes: readonly PlacedNode[]): boolean {
  return widthOf(size, nodes) >= MIN_WIDTH
}

/**
 * The move that should come next; undefined where nobody should move. No move leaves a layer without a holder, or the
 * swarm without a complete chain. If it is `peer`'s, all that will follow is worked out too: where every node does what
 * this function tells it, the swarm must come to rest, and each move must have raised the throughput of the slowest layer
 * to `gain` times what it was, on average. So nodes never move in circles.
 */
export function nextMove(
  size: ModelSize,
  nodes: readonly PlacedNode[],
  { peer, gain }: { peer: string; gain: number }
): Move | undefined {
  const planning = new Planning(size, nodes, gain)
  const first = planning.next(planning.now)
  if (first === undefined) return undefined
  const move = planning.moveOf(first)
  if (move?.peer !== peer) return move
  let [last, steps] = [first, 1]
  for (let next = planning.next(last); next !== undefined; next = planning.next(last)) {
    last = next
    if (++steps > MAX_STEPS) return undefined
  }
  return last.slowest >= planning.now.slowest * gain ** steps ? move : undefined
}

interface Search {
  /** Nobody has moved yet. */
  isFirst: boolean
  seen: Set<string>
  /** Tokens per second that the slowest layer must keep. */
  least: number
  reached: State[]
}

class Planning {
  readonly now: State
  readonly #size: ModelSize
  readonly #gain: number
  readonly #nodes: readonly PlacedNode[]
  readonly #options: readonly Option[][]
  readonly #placements: Placements
  readonly #width: number

  constructor(size: ModelSize, nodes: readonly PlacedNode[], gain: number) {
    this.#size = size
    this.#gain = gain
    this.#nodes = nodes.toSorted((a, b) => (a.peer < b.peer ? -1 : 1))
    this.#options = this.#nodes.map(node => optionsOf(size, node))
    this.#placements = new Placements(size.layers, this.#options)
    this.#width = widthOf(size, nodes)
    const chosen = this.#nodes.map(() => 0)
    this.now = this.#look(chosen, { first: undefined, mover: -1 })
  }

  /** The placement after the next move. A beam search: after each move only the best placements are kept. */
  next(from: State): State | undefined {
    const seen = new Set([from.chosen.join()])
    const least = from.slowest * KEPT_MEANWHILE
    let best: State | undefined
    let kept: State[] = [from]
    for (let moves = 1; moves <= MAX_MOVES && kept.length > 0; moves++) {
      const reached: State[] = []
      for (const state of kept) this.#moves(state, { isFirst: moves === 1, seen, least, reached })
      reached.sort((a, b) => a.slowness - b.slowness)
      const goal = from.slowest * this.#gain ** moves
      for (const state of reached) {
        if (state.slowest >= goal && state.slowest > (best?.slowest ?? 0)) best = state
      }
      kept = reached.slice(0, this.#width)
    }
    return best?.first ?? best
  }

  moveOf({ mover, chosen }: State): Move | undefined {
    const node = this.#nodes[mover]
    const option = this.#options[mover]?.[chosen[mover] ?? 0]
    return node && option && { peer: node.peer, range: { start: option.start, end: option.end } }
  }

  /** Adds to `reached` what one safe move makes of a placement, where it was not seen before and keeps the `least`. */
  #moves(state: State, { isFirst, seen, least, reached }: Search): void {
    for (const [index, options] of this.#options.entries()) {
      const from = options[state.chosen[index] ?? 0]
      if (options.length < 2 || from === undefined) continue
      const mayLeave = this.#placements.isCompleteWithout(index, state.chosen)
      for (const [option, range] of options.entries()) {
        if (range === from || !(mayLeave || this.#fitBeside(index, from, range))) continue
        const next = this.#look(state.chosen.with(index, option), {
          first: isFirst ? undefined : (state.first ?? state),
          mover: index
        })
        if (next.slowest < least || !isNew(seen, next)) continue
        reached.push(next)
      }
    }
  }

  #fitBeside(index: number, from: LayerRange, to: LayerRange): boolean {
    return fitBeside(this.#size, { ...from, memoryBytes: this.#nodes[index]?.memoryBytes }, to)
  }

  #look(chosen: readonly number[], { first, mover }: Pick<State, 'first' | 'mover'>): State {
    let [slowest, slowness] = [Infinity, 0]
    for (const rate of this.#placements.usableRates(chosen)) {
      if (rate < slowest) slowest = rate
      slowness += 1 / (rate * rate * rate * rate)
    }
    return { chosen, first, mover, slowest, slowness }
  }
}

function isNew(seen: Set<string>, { chosen }: State): boolean {
  const key = chosen.join()
  if (seen.has(key)) return false
  seen.add(key)
  return true
}

/** What a node serves, then what else fits it; of one that nobody expects to move, nothing else. */
function optionsOf(size: ModelSize, { start, end, memoryBytes, layersPerSecond }: PlacedNode): Option[] {
  const fitting = memoryBytes === undefined ? [] : rangesThatFit(size, memoryBytes)
  const others = fitting.filter(range => range.start !== start || range.end !== end)
  return [{ start, end }, ...others].map(range => optionOf(range, layersPerSecond))
}

/** Whether a node can serve both ranges while it moves. */
export function fitBeside(
  size: ModelSize,
  node: LayerRange & Pick<PlacedNode, 'memoryBytes'>,
  range: LayerRange
): boolean {
  return bytesOfRange(size, node) + bytesOfRange(size, range) <= (node.memoryBytes ?? 0)
}
