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

/** Whether layers are among those that are missing now which were not before. */
export function isLost(before: readonly LayerRange[], now: readonly LayerRange[]): boolean {
  const wasMissing = (layer: number): boolean => before.some(({ start, end }) => start <= layer && layer < end)
  return now.some(({ start, end }) => {
    for (let layer = start; layer < end; layer++) if (!wasMissing(layer)) return true
    return false
  })
}
