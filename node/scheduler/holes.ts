import type { LayerRange } from '../../protocol/manifest.js'
import { missingLayers } from './coverage.js'
import { freeRanges, mayLeave, servedWith } from './relocation.js'
import { compareLists, slowest, usableRates } from './throughput.js'
import type { PlacedShard, RebalanceRequest } from './types.js'

/**
 * Where layers are held by nobody, or no chain is complete: the range that closes most of it; then the one with which the
 * slowest layers are fastest. Undefined where this node can close nothing, or would open another hole.
 */
export function closingRange(request: RebalanceRequest): LayerRange | undefined {
  const { layers } = request
  const missing = countMissing(layers, servedWith(request, request.range))
  let best: { range: LayerRange; merit: number[] } | undefined
  for (const range of freeRanges(request)) {
    const served = servedWith(request, range)
    const left = countMissing(layers, served)
    if (left > missing) continue
    const rates = usableRates(layers, served)
    const isCloser = left < missing || slowest(rates) > 0
    if (!isCloser || !mayLeave(request, range)) continue
    const merit = [-left, ...rates.sort((a, b) => a - b)]
    if (best === undefined || compareLists(merit, best.merit) > 0) best = { range, merit }
  }
  return best?.range
}

function countMissing(layers: number, shards: readonly PlacedShard[]): number {
  return missingLayers(layers, shards).reduce((sum, { start, end }) => sum + end - start, 0)
}
