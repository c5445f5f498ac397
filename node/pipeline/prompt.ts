/** How a prompt is cut into steps, so that while one stage works on a chunk the stage before it works on the next. */

/** Below this a chunk costs a stage about as much as a single token: smaller ones would only add hops. */
export const LEAST_CHUNK_ROWS = 32

/** Chunks under way at once; more would only queue. */
export const STEPS_IN_FLIGHT = 4

/** Stages of the route for which prompts are cut where the route must not matter. */
const ANY_ROUTE = 4

/** For how many stages to cut a prompt: with exact replays always for as many, so that the answer is the same over any route. */
export function stagesToCutFor({ replay }: { replay?: 'fast' | 'exact' }, stages: number): number {
  return replay === 'exact' ? ANY_ROUTE : stages
}

export interface ChunkLimits {
  /** Stages of the route. */
  stages: number
  /** The most rows that every stage takes in one step. */
  rowsPerStep: number
}

/** Row counts, in order, that add up to `rows`. One stage gets the largest steps; more stages get at least two chunks each. */
export function chunkRows(rows: number, { stages, rowsPerStep }: ChunkLimits): number[] {
  const wished = stages === 1 ? rowsPerStep : Math.ceil(rows / (2 * stages))
  const size = Math.min(rowsPerStep, Math.max(LEAST_CHUNK_ROWS, wished))
  const chunks = Math.ceil(rows / size)
  return Array.from({ length: chunks }, (_, i) => Math.min(size, rows - i * size))
}
