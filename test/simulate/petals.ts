/**
 * The rule of Petals as a rival, from its description (arXiv:2209.01188, section 3.2, and arXiv:2312.08361, appendix D)
 * and its published behaviour: a server holds a fixed number of consecutive layers; on joining it takes those whose
 * throughputs, sorted, come first in the order of lists; now and then it asks how much better the swarm would be if
 * everybody moved to their best place one after another, and moves when the quality is below 0.75.
 */
import { compareLists, layerRates, slowest } from '../../node/scheduler/throughput.js'
import type { PlacedShard } from '../../node/scheduler/types.js'
import type { Random } from './random.js'

/** Petals' default for `balance_quality`. */
export const BALANCE_QUALITY = 0.75
/** What counts as nothing among throughputs; also a little more than its own is taken out, to favour the place it has. */
const EPSILON = 1e-3
/** Rounds in which everybody moves: enough to settle; the real one has no limit and may go on for ever. */
const MAX_ROUNDS = 20

export function petalsStart(rates: readonly number[], length: number): number {
  let best: { start: number; window: number[] } | undefined
  for (let start = 0; start + length <= rates.length; start++) {
    const window = rates.slice(start, start + length).sort((a, b) => a - b)
    if (best === undefined || compareLists(window, best.window) < 0) best = { start, window }
  }
  return best?.start ?? 0
}

/** Whether the server `peer` should look for another place, by all `shards` including its own. */
export function petalsMoves(
  layers: number,
  shards: readonly PlacedShard[],
  own: { peer: string; random: Random }
): boolean {
  const spans = shards.map(shard => ({ ...shard }))
  const self = spans.find(({ peer }) => peer === own.peer)
  if (self === undefined) return false
  const rates = layerRates(layers, spans)
  const before = slowest(rates)
  // The slowest layer cannot be faster than the mean of all, whoever goes where: then nothing need be worked out.
  if (before >= (BALANCE_QUALITY - EPSILON) * mean(rates)) return false
  change(rates, self, -1 - EPSILON)
  if (before > EPSILON && slowest(rates) <= 0) return false
  const start = petalsStart(rates, self.end - self.start)
  change(rates, self, EPSILON)
  if (start === self.start) return false
  moveTo(self, start)
  change(rates, self, 1)
  settle(rates, spans, own.random)
  const after = slowest(rates)
  return after >= before && after >= EPSILON && before / after < BALANCE_QUALITY - EPSILON
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length
}

/** Everybody moves to their best place, in random order, until nobody does. */
function settle(rates: number[], spans: readonly PlacedShard[], random: Random): void {
  for (let round = 0; round < MAX_ROUNDS; round++) {
    let moved = false
    for (const span of random.shuffled(spans)) {
      change(rates, span, -1 - EPSILON)
      const start = petalsStart(rates, span.end - span.start)
      change(rates, span, EPSILON)
      if (start !== span.start) {
        moveTo(span, start)
        moved = true
      }
      change(rates, span, 1)
    }
    if (!moved) return
  }
}

function moveTo(span: PlacedShard, start: number): void {
  const length = span.end - span.start
  span.start = start
  span.end = start + length
}

/** Adds `factor` times what a server carries to its layers. */
function change(rates: number[], { start, end, layersPerSecond }: PlacedShard, factor: number): void {
  const rate = (layersPerSecond / (end - start)) * factor
  for (let layer = start; layer < end; layer++) rates[layer] = (rates[layer] ?? 0) + rate
}
