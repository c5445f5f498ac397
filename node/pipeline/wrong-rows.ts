import type { RowCandidates } from '../../protocol/result.js'
import type { Want } from '../../protocol/step.js'
import type { SessionPlan } from './session-types.js'
import { magnitude } from './vector.js'

/** Why what the head answered cannot be right; undefined when it may be. */
export function wrongRows(
  rows: readonly RowCandidates[],
  want: Want,
  { vocabulary, width }: Pick<SessionPlan, 'vocabulary' | 'width'>
): string | undefined {
  if (rows.length !== want.rows) return `${rows.length} rows of candidates where ${want.rows} were wanted`
  const least = Math.min(want.candidates, vocabulary) + want.ids.length
  for (const { ids, embedding } of rows) {
    if (ids.length !== least) return `${ids.length} candidates where ${least} were wanted`
    if (ids.some(id => id >= vocabulary)) return 'candidates outside the vocabulary'
    const wrong = want.embedding === true ? wrongEmbedding(embedding, width) : unwanted(embedding)
    if (wrong !== undefined) return wrong
  }
  return undefined
}

function unwanted(embedding: Float32Array | undefined): string | undefined {
  return embedding && 'an embedding where none was wanted'
}

function wrongEmbedding(embedding: Float32Array | undefined, width: number): string | undefined {
  if (embedding === undefined) return 'no embedding where one was wanted'
  if (embedding.length !== width) return `an embedding of ${embedding.length} elements where ${width} are due`
  const size = magnitude(embedding)
  return size > 0 && size < Infinity ? undefined : 'an embedding that points nowhere'
}
