/**
 * Several moves that together do what no single one does: a slow node is relieved before it makes room for a fast one.
 * Every node of a swarm works out the same plan from the same view, and only the one whose move is first moves.
 */
import type { LayerRange } from '../../protocol/manifest.js'
import { bytesOfRange, rangesThatFit } from './fit.js'
import { Placements } from './placements.js'
import type { ModelSize, PlacedNode } from './types.js'

/** Moves of a plan: the last ones are far away, and nodes come and go. */
export const MAX_MOVES = 8
/** Placements that are looked at: some 30 ms of a core. Larger swarms need none of it: there single moves do. */
export const MAX_LOOKS = 16_000
/** What the slowest layer keeps at least, in parts of what it had, until the last move of a plan is made. */
export const KEPT_MEANWHILE = 0.5

export interface Move {
  peer: string
  range: LayerRange
}

/** Which of its ranges each node serves, and how it came about. */
interface State {
  chosen: readonly number[]
  first: Move | undefined
  /** Tokens per second of the slowest layer. */
  slowest: number
  /** Smaller is better: slow layers count most, but all do, so that a way to a better minimum can be seen. */
  slowness: number
}

/** How many placements are kept after each move; 0 where even one has too many neighbours to look at. */
export function planWidth({ cuts }: ModelSize, nodes: readonly PlacedNode[]): number {
  return Math.floor(MAX_LOOKS / MAX_MOVES / (nodes.length * (cuts.length + 1)))
}

/**
 * The first move of the plan that ends with the fastest slowest layer, of equal ones the shortest; undefined where none
 * reaches its `goal`, tokens per second by the number of its moves. No move of a plan leaves a layer without a holder, or
 * the swarm without a complete chain. A beam search: after each move only the best placements are kept.
 */
export function firstMove(
  size: ModelSize,
  nodes: readonly PlacedNode[],
  { goal }: { goal: (moves: number) => number }
): Move | undefined {
  const plan = new Planning(size, nodes)
  const width = planWidth(size, nodes)
  let best: State | undefined
  let kept = [plan.now]
  for (let moves = 1; moves <= MAX_MOVES && kept.length > 0; moves++) {
    const reached = kept.flatMap(state => [...plan.after(state)]).sort((a, b) => a.slowness - b.slowness)
    for (const state of reached) {
      if (state.slowest >= goal(moves) && state.slowest > (best?.slowest ?? 0)) best = state
    }
    kept = reached.slice(0, width)
  }
  return best?.first
}

class Planning {
  readonly now: State
  readonly #size: ModelSize
  readonly #nodes: readonly PlacedNode[]
  /** By node, what it serves first. */
  readonly #options: readonly LayerRange[][]
  readonly #placements: Placements
  readonly #seen = new Set<string>()
  readonly #least: number

  constructor(size: ModelSize, nodes: readonly PlacedNode[]) {
    this.#size = size
    this.#nodes = nodes.toSorted((a, b) => (a.peer < b.peer ? -1 : 1))
    this.#options = this.#nodes.map(node => optionsOf(size, node))
    this.#placements = new Placements(size.layers, this.#nodes)
    this.now = this.#look(
      this.#nodes.map(() => 0),
      undefined
    )
    this.#least = this.now.slowest * KEPT_MEANWHILE
    this.#seen.add(this.now.chosen.join())
  }

  /** What one safe move makes of a placement, where it was not seen before and is good enough to go on from. */
  *after(state: State): Generator<State> {
    for (const [index, node] of this.#nodes.entries()) {
      const options = this.#options[index] ?? []
      const from = options[state.chosen[index] ?? 0]
      if (options.length < 2 || from === undefined) continue
      const mayLeave = this.#placements.isCompleteWithout(index, this.#ranges(state.chosen))
      for (const [option, range] of options.entries()) {
        if (range === from || !(mayLeave || fitBeside(this.#size, { ...node, ...from }, range))) continue
        const next = this.#look(state.chosen.with(index, option), state.first ?? { peer: node.peer, range })
        if (next.slowest >= this.#least && this.#isNew(next)) yield next
      }
    }
  }

  #look(chosen: readonly number[], first: Move | undefined): State {
    const rates = this.#placements.usableRates(this.#ranges(chosen))
    let [slowest, slowness] = [Infinity, 0]
    for (const rate of rates) {
      slowest = Math.min(slowest, rate)
      slowness += rate ** -4
    }
    return { chosen, first, slowest, slowness }
  }

  #ranges(chosen: readonly number[]): LayerRange[] {
    return this.#options.map((options, index) => options[chosen[index] ?? 0] ?? { start: 0, end: 0 })
  }

  #isNew({ chosen }: State): boolean {
    const key = chosen.join()
    if (this.#seen.has(key)) return false
    this.#seen.add(key)
    return true
  }
}

/** What a node serves, then what else fits it; of one that nobody expects to move, nothing else. */
function optionsOf(size: ModelSize, { start, end, memoryBytes }: PlacedNode): LayerRange[] {
  const fitting = memoryBytes === undefined ? [] : rangesThatFit(size, memoryBytes)
  return [{ start, end }, ...fitting.filter(range => range.start !== start || range.end !== end)]
}

/** Whether a node can serve both ranges while it moves. */
export function fitBeside(
  size: ModelSize,
  node: LayerRange & Pick<PlacedNode, 'memoryBytes'>,
  range: LayerRange
): boolean {
  return bytesOfRange(size, node) + bytesOfRange(size, range) <= (node.memoryBytes ?? 0)
}
