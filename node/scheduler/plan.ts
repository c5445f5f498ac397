/**
 * Several moves that together do what no single one does: a slow node is relieved before it makes room for a fast one.
 * Every node of a swarm works out the same plan from the same view, and only the one whose move is first moves.
 */
import type { LayerRange } from '../../protocol/manifest.js'
import { bytesOfRange, rangesThatFit } from './fit.js'
import { type Option, optionOf, Placements } from './placements.js'
import type { ModelSize, PlacedNode } from './types.js'
import { type Ends, shortestWay } from './way.js'

/** Nodes times the ranges of each in a swarm whose nodes plan: in larger ones single moves do. */
const MAX_OPTIONS = 650
/** Moves of a plan, at most. Where that is too much to search, it is searched for shorter ones. */
const MAX_MOVES = [8, 6, 4, 2, 1] as const
/** What one search may take: 25 ms of a core with few layers, 80 ms with many. */
const MAX_EFFORT = 300_000
/** What the slowest layer keeps at least with each move, in parts of what it had. */
const KEPT = 0.5

/** The first move of a plan. */
export interface Move {
  peer: string
  range: LayerRange
  /** By what the whole plan multiplies the throughput of the slowest layer. */
  gain: number
  /** How many moves it has. */
  moves: number
}

/** Whether there are few enough nodes and cuts to look more than one move ahead. */
export function canPlan({ cuts }: ModelSize, nodes: readonly PlacedNode[]): boolean {
  return nodes.length * (cuts.length + 1) <= MAX_OPTIONS
}

/**
 * The first move of the best plan, then that of the best one that moves a single node; empty where nobody should move. A
 * plan is worth the throughput of the slowest layer that it ends with, divided by `gain` for each of its moves, and must be
 * worth more than what there is. No move leaves a layer without a holder, or the swarm without a complete chain.
 *
 * Once the first move of the best plan is made, the rest of it is worth `gain` times as much as the whole, and whatever is
 * done instead is worth more. So nodes that all know the same and follow it do not move in circles, as long as no search
 * is given up.
 */
export function nextMoves(size: ModelSize, nodes: readonly PlacedNode[], { gain }: { gain: number }): Move[] {
  const planning = new Planning(size, nodes, gain)
  const best = planning.best()
  if (best === undefined) return []
  const single = best.moves === 1 ? undefined : planning.search(1)
  return single === undefined || single === 'too-much' ? [best] : [best, single]
}

interface PlannedRange extends Option {
  /** What it takes of memory. */
  bytes: number
}

interface PlannedNode {
  peer: string
  memoryBytes: number
  /** What it serves, then what else it may. */
  options: readonly PlannedRange[]
}

/** Branch and bound: assigns a range to one node after the other as long as that may still become the best plan. */
class Planning {
  readonly #layers: number
  readonly #gain: number
  /** The fastest first: they decide most. */
  readonly #nodes: readonly PlannedNode[]
  readonly #placements: Placements
  /** By number of nodes assigned: what the others could add to each layer at most ... */
  readonly #hopes: readonly Float64Array[]
  /** ... and to all layers together. */
  readonly #work: readonly number[]
  /** By number of nodes assigned: what they give to each layer. */
  readonly #rates: readonly Float64Array[]
  readonly #ends: Omit<Ends, 'to'>
  /** The option of each node. */
  readonly #chosen: number[]
  readonly #slowestNow: number
  /** Partial placements that were tried. */
  #tried = 0
  #worth = 0
  #first: Move | undefined

  constructor(size: ModelSize, nodes: readonly PlacedNode[], gain: number) {
    this.#layers = size.layers
    this.#gain = gain
    this.#nodes = nodes
      .toSorted((a, b) => b.layersPerSecond - a.layersPerSecond || (a.peer < b.peer ? -1 : 1))
      .map(node => ({ peer: node.peer, memoryBytes: node.memoryBytes ?? 0, options: optionsOf(size, node) }))
    const options = this.#nodes.map(node => node.options)
    this.#placements = new Placements(size.layers, options)
    this.#hopes = hopesOf(size.layers, options)
    this.#work = workOf(options)
    this.#rates = Array.from({ length: nodes.length + 1 }, () => new Float64Array(size.layers))
    const from = nodes.map(() => 0)
    this.#chosen = [...from]
    this.#slowestNow = this.#placements.slowest(from)
    this.#ends = {
      from,
      options: options.map(({ length }) => length),
      kept: KEPT,
      fitBeside: (node, option, other) => this.#fitBeside(node, option, other),
      isTooMuch: () => this.#isTooMuch()
    }
  }

  /** The first move of the best plan; of the best shorter one where that is too much to search. */
  best(): Move | undefined {
    for (const moves of MAX_MOVES) {
      const found = this.search(moves)
      if (found !== 'too-much') return found
    }
    return undefined
  }

  search(moves: number): Move | undefined | 'too-much' {
    this.#tried = 0
    this.#placements.effort = 0
    this.#worth = this.#slowestNow
    this.#first = undefined
    this.#assign(0, { moves, price: 1 })
    return this.#isTooMuch() ? 'too-much' : this.#first
  }

  /** Tries the options of the node with this number and of all after it, with so many moves left. */
  #assign(node: number, { moves, price }: { moves: number; price: number }): void {
    this.#tried++
    if (this.#isTooMuch() || !this.#mayReach(node, this.#worth * price)) return
    const planned = this.#nodes[node]
    if (planned === undefined) {
      this.#consider(price)
      return
    }
    for (const [option, range] of planned.options.entries()) {
      if (option > 0 && moves === 0) break
      this.#give(node, range)
      this.#chosen[node] = option
      this.#assign(node + 1, option === 0 ? { moves, price } : { moves: moves - 1, price: price * this.#gain })
    }
    this.#chosen[node] = 0
  }

  #isTooMuch(): boolean {
    return this.#tried + this.#placements.effort > MAX_EFFORT
  }

  #give(node: number, { start, end, rate }: Option): void {
    const [before, after] = [this.#rates[node], this.#rates[node + 1]]
    if (before === undefined || after === undefined) return
    after.set(before)
    for (let layer = start; layer < end; layer++) after[layer] = (after[layer] ?? 0) + rate
  }

  /** Whether every layer may still become faster than this, by each node's best range and by all that they can do. */
  #mayReach(node: number, goal: number): boolean {
    const [rates, hopes] = [this.#rates[node], this.#hopes[node]]
    let needed = 0
    for (let layer = 0; layer < this.#layers; layer++) {
      const missing = goal - (rates?.[layer] ?? 0)
      if (missing >= (hopes?.[layer] ?? 0)) return false
      if (missing > 0) needed += missing
    }
    return needed <= (this.#work[node] ?? 0)
  }

  /** A placement of all nodes: it is the best so far if routes can use it so, and there is a way to it. */
  #consider(price: number): void {
    const slowest = this.#placements.slowest(this.#chosen)
    if (slowest / price <= this.#worth) return
    const way = shortestWay(this.#placements, { ...this.#ends, to: this.#chosen })
    if (way === undefined) return
    const worth = slowest / this.#gain ** way.moves
    if (worth <= this.#worth) return
    const { node, option } = way.first
    const [planned, range] = [this.#nodes[node], this.#nodes[node]?.options[option]]
    if (planned === undefined || range === undefined) return
    this.#worth = worth
    this.#first = {
      peer: planned.peer,
      range: { start: range.start, end: range.end },
      gain: slowest / this.#slowestNow,
      moves: way.moves
    }
  }

  #fitBeside(node: number, option: number, other: number): boolean {
    const { memoryBytes, options } = this.#nodes[node] ?? { memoryBytes: 0, options: [] }
    return (options[option]?.bytes ?? 0) + (options[other]?.bytes ?? 0) <= memoryBytes
  }
}

function hopesOf(layers: number, nodes: readonly (readonly Option[])[]): Float64Array[] {
  const hopes = [new Float64Array(layers)]
  for (const options of nodes.toReversed()) {
    const most = new Float64Array(layers)
    for (const { start, end, rate } of options)
      for (let layer = start; layer < end; layer++) most[layer] = Math.max(most[layer] ?? 0, rate)
    hopes.unshift(most.map((rate, layer) => rate + (hopes[0]?.[layer] ?? 0)))
  }
  return hopes
}

function workOf(nodes: readonly (readonly Option[])[]): number[] {
  const work = [0]
  for (const options of nodes.toReversed()) {
    const most = Math.max(...options.map(({ start, end, rate }) => (end - start) * rate))
    work.unshift((work[0] ?? 0) + most)
  }
  return work
}

/** What a node serves, then what else fits it; of one that nobody expects to move, nothing else. */
function optionsOf(size: ModelSize, { start, end, memoryBytes, layersPerSecond }: PlacedNode): PlannedRange[] {
  const fitting = memoryBytes === undefined ? [] : rangesThatFit(size, memoryBytes)
  const others = fitting.filter(range => range.start !== start || range.end !== end)
  return [{ start, end }, ...others].map(range => ({
    ...optionOf(range, layersPerSecond),
    bytes: bytesOfRange(size, range)
  }))
}
