/** How a prompt is cut into steps, so that while one stage works on a chunk the stage before it works on the next. */

/** Below this a chunk costs a GPU about as much as a single token: smaller ones would only add hops. */
export const LEAST_CHUNK_ROWS = 32

/** On a CPU llama.cpp computes attention 64 rows at a time. Fewer take up to twice as long each, the more the more is before them ... */
export const TILE_ROWS = 64

/** ... and from this position on longer than what is gained where stages overlap (docs/performance.md). */
export const TILED_FROM = 512

/** Chunks under way at once; more would only queue. */
export const STEPS_IN_FLIGHT = 4

/** Stages of the route for which prompts are cut where the route must not matter. */
const ANY_ROUTE = 4

/** For how many stages to cut a prompt: with exact replays always for as many, so that the answer is the same over any route. */
export function stagesToCutFor({ replay }: { replay?: 'fast' | 'exact' }, stages: number): number {
  return replay === 'exact' ? ANY_ROUTE : stages
}

export interface ChunkLimits {
  /** Position of the first row. */
  from: number
  /** Stages of the route. */
  stages: number
  /** The most rows that every stage takes in one step. */
  rowsPerStep: number
}

/**
 * Row counts, in order, that add up to `rows`, as equal as can be. One stage gets the largest steps; more stages get at
 * least two chunks each, where there are rows enough.
 */
export function chunkRows(rows: number, { from, stages, rowsPerStep }: ChunkLimits): number[] {
  const least = from < TILED_FROM ? LEAST_CHUNK_ROWS : TILE_ROWS
  const needed = Math.ceil(rows / rowsPerStep)
  const overlapping = stages === 1 ? needed : Math.min(2 * stages, Math.floor(rows / least))
  const chunks = Math.max(needed, overlapping)
  const larger = rows % chunks
  return Array.from({ length: chunks }, (_, i) => Math.floor(rows / chunks) + (i < larger ? 1 : 0))
}
