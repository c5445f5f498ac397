import type { LayerRange } from '../../protocol/manifest.js'
import { rateOf } from './throughput.js'
import type { PlacedShard } from './types.js'

/**
 * Looks at many placements of the same nodes, fast: `chain.ts` and `throughput.ts` for nodes with one range each, so that
 * no route meets a node twice. Whether a range can be entered is then a matter of its first layer alone.
 */
export class Placements {
  readonly #layers: number
  readonly #speeds: readonly number[]
  readonly #rates: Float64Array
  /** By first layer: the farthest end of the ranges that begin there; 0 where none does. */
  readonly #farthest: Int32Array
  /** By layer: the first later one from which a route can reach the end. */
  readonly #nearest: Int32Array

  constructor(layers: number, nodes: readonly PlacedShard[]) {
    this.#layers = layers
    this.#speeds = nodes.map(({ layersPerSecond }) => layersPerSecond)
    this.#rates = new Float64Array(layers)
    this.#farthest = new Int32Array(layers)
    this.#nearest = new Int32Array(layers)
  }

  /** Tokens per second of each layer over the ranges that routes can use. Valid until the next look. */
  usableRates(ranges: readonly LayerRange[]): Float64Array {
    this.#rates.fill(0)
    const entered = this.#link(ranges, -1)
    if (entered < this.#layers) return this.#rates
    for (let node = 0; node < ranges.length; node++) {
      const range = ranges[node]
      if (range === undefined || !this.#isUsable(range)) continue
      const rate = rateOf({ ...range, layersPerSecond: this.#speeds[node] ?? 0 })
      for (let layer = range.start; layer < range.end; layer++) this.#rates[layer] = (this.#rates[layer] ?? 0) + rate
    }
    return this.#rates
  }

  isCompleteWithout(node: number, ranges: readonly LayerRange[]): boolean {
    return this.#link(ranges, node) === this.#layers
  }

  /** The layer that routes from layer 0 get to. Ranges that cannot be entered are taken out of `#farthest`. */
  #link(ranges: readonly LayerRange[], without: number): number {
    const [layers, farthest, nearest] = [this.#layers, this.#farthest, this.#nearest]
    farthest.fill(0)
    for (let node = 0; node < ranges.length; node++) {
      const range = ranges[node]
      if (range === undefined || node === without) continue
      if (range.end > (farthest[range.start] ?? 0)) farthest[range.start] = range.end
    }
    let reached = 0
    for (let layer = 0; layer < layers; layer++) {
      if (layer > reached) farthest[layer] = 0
      reached = Math.max(reached, farthest[layer] ?? 0)
    }
    for (let layer = layers - 1, near = layers; layer >= 0; layer--) {
      nearest[layer] = near
      if ((farthest[layer] ?? 0) >= near) near = layer
    }
    return reached
  }

  #isUsable({ start, end }: LayerRange): boolean {
    return (this.#farthest[start] ?? 0) > 0 && end >= (this.#nearest[start] ?? Infinity)
  }
}
