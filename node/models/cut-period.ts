import { architectureOf } from '../engine/architectures.js'

/** Looks a metadata key up; undefined where the model does not have it. */
export type MetadataLookup = (key: string) => unknown

/** Cuts that may turn out to be exact, and why these. */
export interface CutCandidate {
  /** For people: "every 4 layers". */
  rule: string
  /** Layers before which the model is cut, ascending, within (0, layers). */
  cuts: number[]
}

/** What a layer keeps between steps: a KV cache, a state of fixed size, or nothing (a feed-forward layer on its own). */
export type LayerKind = 'attention' | 'recurrent' | 'other'

/** Multiples of the known period that are tried, ascending: no known pattern that shows only in logits is longer than 8 layers. */
const TRIED_MULTIPLES = [1, 2, 3, 4, 5, 6, 8]

/**
 * The period that cuts must keep whatever a comparison says, from the table and the model's metadata; 1 for plain
 * architectures. A sliding window that is longer than the compared prompt cannot be seen in logits.
 */
export function knownPeriod(architecture: string, metadata: MetadataLookup): number {
  const { period = 1, periodKeys = [] } = architectureOf(architecture)
  for (const key of periodKeys) {
    const value = metadata(`${architecture}.${key}`)
    if (Array.isArray(value)) return 1
    if (typeof value === 'number') return Math.max(1, Math.floor(value))
  }
  return period
}

/** The kind of each layer of an architecture that mixes them, where its metadata lists them; else undefined. */
export function layerKinds(architecture: string, metadata: MetadataLookup): LayerKind[] | undefined {
  if (architectureOf(architecture).bothKinds !== true) return undefined
  const recurrent = metadata(`${architecture}.attention.recurrent_layers`)
  if (Array.isArray(recurrent)) return recurrent.map(flag => (flag ? 'recurrent' : 'attention'))
  const heads = metadata(`${architecture}.attention.head_count_kv`)
  if (!Array.isArray(heads)) return undefined
  // Where some layers have no feed-forward part, those that have one are nothing else (nemotron_h).
  const widths = metadata(`${architecture}.feed_forward_length`)
  const apart = Array.isArray(widths) && widths.includes(0)
  return heads.map((count, layer) => {
    if (apart && widths[layer] !== 0) return 'other'
    return count === 0 ? 'recurrent' : 'attention'
  })
}

/** Multiples of `period` within (0, layers), ascending. */
export function multiplesBelow(layers: number, period: number): number[] {
  return Array.from({ length: Math.ceil(layers / period) - 1 }, (_, i) => (i + 1) * period)
}

/** As many cuts as leave both kinds of layer on each side of each. */
export function cutsBetweenKinds(kinds: readonly LayerKind[]): number[] {
  const cuts: number[] = []
  let seen = new Set<LayerKind>()
  kinds.forEach((kind, layer) => {
    if (seen.has('attention') && seen.has('recurrent')) {
      cuts.push(layer)
      seen = new Set()
    }
    seen.add(kind)
  })
  // What is left at the end has to have both, too.
  if (!(seen.has('attention') && seen.has('recurrent'))) cuts.pop()
  return cuts
}

export interface CutSearch {
  architecture: string
  layers: number
  /** From `knownPeriod`. */
  known: number
  /** From `layerKinds`. */
  kinds: readonly LayerKind[] | undefined
}

/**
 * What to try, in this order. Where both kinds of layer must be in each shard, the layers after the last multiple of a
 * period may be too few for that; then the last cut goes.
 */
export function cutCandidates({ architecture, layers, known, kinds }: CutSearch): CutCandidate[] {
  const both = architectureOf(architecture).bothKinds === true
  const byKind = kinds?.length === layers ? cutsBetweenKinds(kinds).filter(cut => cut % known === 0) : []
  const periodic = TRIED_MULTIPLES.map(factor => factor * known).filter(period => period < layers)
  return [
    { rule: 'both kinds of layer in each part', cuts: byKind },
    ...periodic.flatMap(period => {
      const rule = period === 1 ? 'any layer' : `every ${period} layers`
      const cuts = multiplesBelow(layers, period)
      const shorter = both && layers % period !== 0 ? cuts.slice(0, -1) : []
      return [
        { rule, cuts },
        { rule: `${rule} but the last`, cuts: shorter }
      ]
    })
  ].filter(({ cuts }) => cuts.length > 0)
}

/** The layer ranges between `cuts`, as `[start, end)`. @throws RangeError when they are not ascending within (0, layers). */
export function rangesBetween(cuts: readonly number[], layers: number): { start: number; end: number }[] {
  const bounds = [0, ...cuts, layers]
  const ranges = bounds.slice(0, -1).map((start, i) => ({ start, end: bounds[i + 1] ?? layers }))
  if (ranges.every(({ start, end }) => Number.isInteger(start) && Number.isInteger(end) && start < end)) return ranges
  throw new RangeError(`cuts ${cuts.join(', ')} are not ascending whole numbers between 0 and ${layers}`)
}
