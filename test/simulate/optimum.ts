import { rangesThatFit } from '../../node/scheduler/fit.js'
import { addRate, slowest, usableRates } from '../../node/scheduler/throughput.js'
import type { ModelSize, PlacedShard } from '../../node/scheduler/types.js'

/** A node as far as placing it matters. */
export interface Holder {
  peer: string
  memoryBytes: number
  layersPerSecond: number
}

/**
 * The largest throughput of the slowest layer that any assignment of ranges to nodes reaches, by trying them all: each
 * node with the longest range that fits from each layer, as `choosePlacement` has it. What cannot become better than the
 * best found so far is not followed any further.
 */
export function bestThroughput(size: ModelSize, holders: readonly Holder[]): number {
  const options = holders
    .map(({ peer, memoryBytes, layersPerSecond }) =>
      rangesThatFit(size, memoryBytes).map((range): PlacedShard => ({ peer, ...range, layersPerSecond }))
    )
    .sort((a, b) => rateOf(b[0]) - rateOf(a[0]))
  const still = hopes(size.layers, options)
  let best = 0
  const assign = (placed: PlacedShard[], rates: readonly number[]): void => {
    const depth = placed.length
    if (slowest(rates.map((rate, layer) => rate + (still[depth]?.[layer] ?? 0))) <= best) return
    const mine = options[depth]
    if (mine === undefined) best = Math.max(best, slowest(usableRates(size.layers, placed)))
    else for (const shard of mine) assign([...placed, shard], addRate([...rates], shard))
  }
  assign(
    [],
    Array.from({ length: size.layers }, () => 0)
  )
  return best
}

/** By number of nodes placed: the most that the nodes after them could add to each layer. */
function hopes(layers: number, options: readonly PlacedShard[][]): number[][] {
  const result = [Array.from({ length: layers }, () => 0)]
  for (const mine of options.toReversed()) {
    const most = Array.from({ length: layers }, () => 0)
    for (const shard of mine) {
      const rates = addRate(
        Array.from({ length: layers }, () => 0),
        shard
      )
      rates.forEach((rate, layer) => (most[layer] = Math.max(most[layer] ?? 0, rate)))
    }
    result.unshift(most.map((rate, layer) => rate + (result[0]?.[layer] ?? 0)))
  }
  return result
}

function rateOf(shard: PlacedShard | undefined): number {
  return shard === undefined ? 0 : shard.layersPerSecond / (shard.end - shard.start)
}
