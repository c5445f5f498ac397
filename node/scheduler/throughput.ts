/** How many tokens a second the peers of a swarm could pass through each layer. */
import { chained } from './chain.js'
import type { PlacedShard } from './types.js'

/** Layers per second: a peer that has not measured itself yet still holds its layers. */
const SLOWEST = 1e-9

/** How much more a slow layer counts: a power. */
const SHARPNESS = 8

/** Tokens per second of each layer, over all shards whether a route can use them or not; 0 where nobody holds it. */
export function layerRates(layers: number, shards: Iterable<PlacedShard>): number[] {
  const rates = Array.from({ length: layers }, () => 0)
  for (const shard of shards) addRate(rates, shard)
  return rates
}

/** The same over the shards that lie on a complete chain: what routes can use. */
export function usableRates(layers: number, shards: readonly PlacedShard[]): number[] {
  return layerRates(layers, chained(layers, shards))
}

/**
 * What a shard carries when every token passes through the whole of it: its layers per second divided by its length.
 */
export function rateOf({ start, end, layersPerSecond }: Omit<PlacedShard, 'peer'>): number {
  return Math.max(layersPerSecond, SLOWEST) / (end - start)
}

/** Adds what a shard carries to each of its layers. In place. */
export function addRate(rates: number[], shard: Omit<PlacedShard, 'peer'>): number[] {
  const rate = rateOf(shard)
  for (let layer = shard.start; layer < shard.end; layer++) rates[layer] = (rates[layer] ?? 0) + rate
  return rates
}

/** Tokens per second of the slowest layer, which is what the swarm as a whole can do; 0 where there is no complete chain. */
export function slowest(rates: readonly number[]): number {
  return rates.reduce((least, rate) => Math.min(least, rate), Infinity)
}

/**
 * A minimum in which slow layers count most, but all do: what a move into one of several slow ranges gains can be seen in
 * it. Tokens per second; 0 where a layer has none.
 */
export function softMinimum(rates: readonly number[]): number {
  return softMinimumOf(rates.reduce((sum, rate) => sum + weightOf(rate), 0))
}

/** What a layer of this rate adds to the sum that `softMinimumOf` takes. */
export function weightOf(rate: number): number {
  return rate ** -SHARPNESS
}

/** The soft minimum of layers by the sum of their weights. */
export function softMinimumOf(weight: number): number {
  return weight ** (-1 / SHARPNESS)
}

/** The order of two lists of numbers of equal length by their first difference. */
export function compareLists(a: readonly number[], b: readonly number[]): number {
  const index = a.findIndex((value, at) => value !== b[at])
  return (a[index] ?? 0) - (b[index] ?? 0)
}
