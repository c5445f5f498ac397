import type { LayerRange } from '../../protocol/manifest.js'
import { afterClaims } from './claims.js'
import { reach } from './chain.js'
import { missingLayers } from './coverage.js'
import { rangesThatFit, smallestBytes } from './fit.js'
import { addRate, compareLists, layerRates, usableRates } from './throughput.js'
import type { PlacedShard, Placement, PlacementRequest } from './types.js'

/** What the swarm looks like without this node. */
interface Situation {
  /** Some layers are held by nobody. */
  filling: boolean
  /** Tokens per second of each layer; 0 where nobody holds it. */
  rates: number[]
  /** By layer: the farthest end of the shards before it that a route from layer 0 can reach. */
  entries: number[]
  /** By layer: the first later one where a shard begins from which a route can reach the last layer. */
  exits: number[]
  /** Layers where a range would begin right after another one, or at the model's beginning. */
  seams: ReadonlySet<number>
}

/**
 * The range that a node should hold. While layers are held by nobody: the one that closes most of the gap, put where
 * another range ends so that no smaller gap stays behind. Otherwise, among those that a route could use: the one that
 * raises the throughput of the slowest layers most. Ranges are as long as memory allows from their first layer on.
 * What others have claimed counts as if they served it already.
 *
 * Raising the minimum is the rule of Petals (arXiv:2209.01188, section 3.2); what counts first, in order, is written in
 * `meritOf`.
 */
export function choosePlacement(request: PlacementRequest): Placement {
  const situation = situationOf(request.layers, afterClaims(request))
  let best: { range: LayerRange; merit: number[] } | undefined
  for (const range of rangesThatFit(request, request.memoryBytes)) {
    const merit = meritOf(request, situation, range)
    if (best === undefined || compareLists(merit, best.merit) > 0) best = { range, merit }
  }
  return best === undefined
    ? { kind: 'too-small', neededBytes: smallestBytes(request) }
    : { kind: 'range', ...best.range }
}

/** What a range does for the swarm, most important first, larger is better. */
function meritOf({ layers, layersPerSecond }: PlacementRequest, situation: Situation, range: LayerRange): number[] {
  const { filling, seams } = situation
  const rates = addRate([...situation.rates], { ...range, layersPerSecond })
  const holes = rates.filter(rate => rate === 0).length
  const atSeam = Number(seams.has(range.start))
  return [
    -holes,
    Number(usable(layers, situation, range)),
    filling ? atSeam : 0,
    ...rates.sort((a, b) => a - b), // the slowest layer, then the one after it, ...
    atSeam,
    range.end - range.start,
    -range.start
  ]
}

/** Whether a complete chain could pass through the range. */
function usable(layers: number, { entries, exits }: Situation, { start, end }: LayerRange): boolean {
  const entered = start === 0 || (entries[start] ?? 0) >= start
  return entered && (end === layers || (exits[start] ?? layers) <= end)
}

function situationOf(layers: number, served: readonly PlacedShard[]): Situation {
  const filling = missingLayers(layers, served).length > 0
  const { fromStart, toEnd } = reach(layers, served)
  const ends = Array.from({ length: layers }, () => 0)
  for (const { start, end } of fromStart) ends[start + 1] = Math.max(ends[start + 1] ?? 0, end)
  const starts = Array.from({ length: layers }, () => layers)
  for (const { start } of toEnd) if (start > 0) starts[start - 1] = start
  return {
    filling,
    rates: filling ? layerRates(layers, served) : usableRates(layers, served),
    entries: running(ends, Math.max),
    exits: running(starts.reverse(), Math.min).reverse(),
    seams: new Set([0, ...served.map(({ end }) => end)])
  }
}

/** The largest, or smallest, of the values up to each place. */
function running(values: readonly number[], pick: (a: number, b: number) => number): number[] {
  let sofar = values[0] ?? 0
  return values.map(value => (sofar = pick(sofar, value)))
}
