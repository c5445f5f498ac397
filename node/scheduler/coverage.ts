import type { LayerRange } from '../../protocol/manifest.js'

/**
 * The layers of `[0, layers)` that no shard holds, as ranges in ascending order. Whether what is held can be chained is
 * routing's to say.
 */
export function missingLayers(layers: number, shards: readonly LayerRange[]): LayerRange[] {
  const missing: LayerRange[] = []
  let covered = 0
  for (const { start, end } of shards.toSorted((a, b) => a.start - b.start)) {
    if (start > covered) missing.push({ start: covered, end: Math.min(start, layers) })
    covered = Math.max(covered, end)
    if (covered >= layers) return missing
  }
  return [...missing, { start: covered, end: layers }]
}
