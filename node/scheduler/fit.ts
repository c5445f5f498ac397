/** Which ranges of a model's layers fit a memory. */
import type { LayerRange } from '../../protocol/manifest.js'
import type { ModelSize, PlacedNode } from './types.js'

/** From each layer where a range may begin, the longest one that fits `memoryBytes`. In ascending order. */
export function rangesThatFit(size: ModelSize, memoryBytes: number): LayerRange[] {
  const bounds = boundsOf(size)
  const bytes = bytesBefore(size)
  return bounds.flatMap(start => {
    const end = bounds.findLast(bound => bound > start && rangeBytes(size, bytes, { start, end: bound }) <= memoryBytes)
    return end === undefined ? [] : [{ start, end }]
  })
}

/** Bytes of the smallest range that anyone may hold. */
export function smallestBytes(size: ModelSize): number {
  const bounds = boundsOf(size)
  const bytes = bytesBefore(size)
  const sizes = bounds.slice(1).map((end, index) => rangeBytes(size, bytes, { start: bounds[index] ?? 0, end }))
  return Math.min(...sizes)
}

/** Bytes of one range, with the ends that go with it. */
export function bytesOfRange(
  { layerBytes, embeddingBytes, headBytes }: Omit<ModelSize, 'layers' | 'cuts'>,
  { start, end }: LayerRange
): number {
  const ends = (start === 0 ? embeddingBytes : 0) + (end === layerBytes.length ? headBytes : 0)
  return layerBytes.slice(start, end).reduce((sum, bytes) => sum + bytes, ends)
}

/** Whether a node can serve both ranges while it moves. */
export function fitBeside(
  size: ModelSize,
  node: LayerRange & Pick<PlacedNode, 'memoryBytes'>,
  range: LayerRange
): boolean {
  return bytesOfRange(size, node) + bytesOfRange(size, range) <= (node.memoryBytes ?? 0)
}

function boundsOf({ layers, cuts }: ModelSize): number[] {
  return [0, ...cuts, layers]
}

/** Sums of `layerBytes` up to each layer. */
function bytesBefore({ layerBytes }: ModelSize): number[] {
  let sum = 0
  return [0, ...layerBytes.map(bytes => (sum += bytes))]
}

function rangeBytes(
  { layers, embeddingBytes, headBytes }: ModelSize,
  bytes: readonly number[],
  { start, end }: LayerRange
): number {
  const ends = (start === 0 ? embeddingBytes : 0) + (end === layers ? headBytes : 0)
  return (bytes[end] ?? Infinity) - (bytes[start] ?? 0) + ends
}
