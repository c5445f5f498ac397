/** Euclidean length; NaN or infinite where an element is. */
export function magnitude(vector: Float32Array): number {
  let sum = 0
  for (const value of vector) sum += value * value
  return Math.sqrt(sum)
}

/** The first `dimensions` elements, scaled to length 1; zeros stay zeros. */
export function unitVector(vector: Float32Array, dimensions: number): Float32Array {
  const cut = vector.slice(0, dimensions)
  const size = magnitude(cut)
  return size > 0 ? cut.map(value => value / size) : cut
}
