import type { LayerRange } from '../../protocol/manifest.js'
import { rateOf } from './throughput.js'

/** A range that a node may serve, and the tokens per second that it then adds to each layer of it. */
export interface Option extends LayerRange {
  rate: number
}

export function optionOf({ start, end }: LayerRange, layersPerSecond: number): Option {
  return { start, end, rate: rateOf({ start, end, layersPerSecond }) }
}

/** Of the effort, what a placement takes that is looked at for the first time, in steps from one to the next. */
const LOOK_EFFORT = 10

/**
 * Looks at many placements of the same nodes, fast: what `chain.ts` and `throughput.ts` say of nodes with one range each,
 * so that no route meets a node twice, and whether a range can be entered is a matter of its first layer alone. A
 * placement is the number of the option that each node serves.
 */
export class Placements {
  /** What was done so far, in steps from one placement to the next. */
  effort = 0
  readonly #known = new Map<string, Placement>()
  readonly #layers: number
  readonly #options: readonly (readonly Option[])[]
  readonly #rates: Float64Array
  /** By first layer: the farthest end of the ranges that begin there and can be entered; 0 where none does. */
  readonly #farthest: Int32Array
  /** By layer: the first later one from which a route can reach the end. */
  readonly #nearest: Int32Array

  constructor(layers: number, options: readonly (readonly Option[])[]) {
    this.#layers = layers
    this.#options = options
    this.#rates = new Float64Array(layers)
    this.#farthest = new Int32Array(layers)
    this.#nearest = new Int32Array(layers)
  }

  /** Remembered: what was found out of it is not worked out again. */
  at(chosen: readonly number[]): Placement {
    const key = chosen.join()
    const placement = this.#known.get(key) ?? new Placement(this, [...chosen])
    this.#known.set(key, placement)
    return placement
  }

  /** Tokens per second of each layer over the ranges that routes can use. Valid until the next look. */
  usableRates(chosen: readonly number[]): Float64Array {
    const rates = this.#rates.fill(0)
    if (this.#link(chosen, -1) < this.#layers) return rates
    for (let node = 0; node < chosen.length; node++) {
      const option = this.#options[node]?.[chosen[node] ?? 0]
      if (option === undefined || !this.#isUsable(option)) continue
      const { start, end, rate } = option
      for (let layer = start; layer < end; layer++) rates[layer] = (rates[layer] ?? 0) + rate
    }
    return rates
  }

  /** The least of them. */
  slowest(chosen: readonly number[]): number {
    return this.usableRates(chosen).reduce((least, rate) => Math.min(least, rate), Infinity)
  }

  isCompleteWithout(node: number, chosen: readonly number[]): boolean {
    return this.#link(chosen, node) === this.#layers
  }

  /** The layer that routes from layer 0 get to. */
  #link(chosen: readonly number[], without: number): number {
    this.effort += LOOK_EFFORT
    const [layers, farthest, nearest] = [this.#layers, this.#farthest.fill(0), this.#nearest]
    for (let node = 0; node < chosen.length; node++) {
      const option = this.#options[node]?.[chosen[node] ?? 0]
      if (option === undefined || node === without) continue
      if (option.end > (farthest[option.start] ?? 0)) farthest[option.start] = option.end
    }
    let reached = 0
    for (let layer = 0; layer < layers; layer++) {
      if (layer > reached) farthest[layer] = 0
      reached = Math.max(reached, farthest[layer] ?? 0)
    }
    let near = layers
    for (let layer = layers - 1; layer >= 0; layer--) {
      nearest[layer] = near
      if ((farthest[layer] ?? 0) >= near) near = layer
    }
    return reached
  }

  #isUsable({ start, end }: LayerRange): boolean {
    return (this.#farthest[start] ?? 0) > 0 && end >= (this.#nearest[start] ?? Infinity)
  }
}

/** One of them, with what is known of it. */
export class Placement {
  /** The option of each node. */
  readonly chosen: readonly number[]
  readonly #placements: Placements
  #slowest: number | undefined
  readonly #completeWithout: boolean[] = []
  /** By node and option. */
  readonly #neighbours: Placement[][] = []

  constructor(placements: Placements, chosen: readonly number[]) {
    this.#placements = placements
    this.chosen = chosen
  }

  /** Tokens per second of the slowest layer. */
  get slowest(): number {
    return (this.#slowest ??= this.#placements.slowest(this.chosen))
  }

  isCompleteWithout(node: number): boolean {
    return (this.#completeWithout[node] ??= this.#placements.isCompleteWithout(node, this.chosen))
  }

  /** The placement in which this node serves another option. */
  with(node: number, option: number): Placement {
    const neighbours = (this.#neighbours[node] ??= [])
    return (neighbours[option] ??= this.#placements.at(this.chosen.with(node, option)))
  }
}
