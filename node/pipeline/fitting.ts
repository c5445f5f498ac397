import type { Constraint, RowCandidates, Tokenizer, Want } from '../engine/types.js'
import { MAX_WANTED_IDS } from '../../protocol/limits.js'

/** Candidates of the position after these tokens. */
export type Ask = (want: Want) => Promise<RowCandidates>

/**
 * The candidates that an answer with a format may take next; where none of those that came fits, those of all tokens that
 * would: the head is asked for their logits. Peers never see the format.
 * @param accepted the token that was chosen last; undefined at the beginning
 * @returns undefined where nothing fits any more but the end
 */
export async function fittingCandidates(
  row: RowCandidates,
  { constraint, accepted, ask }: { constraint: Constraint; accepted: number | undefined; ask: Ask },
  tokenizer: Pick<Tokenizer, 'isEndOfGeneration'>
): Promise<RowCandidates | undefined> {
  const allowed = await constraint.allowed({ accepted, candidates: row.ids })
  if (allowed.length > 0) return only(row, allowed)
  const all = await constraint.allowed({})
  const going = all.filter(token => !tokenizer.isEndOfGeneration(token))
  if (going.length === 0) return undefined
  const wanted = all.slice(0, MAX_WANTED_IDS)
  const asked = await ask({ rows: 1, candidates: 0, ids: [...wanted], logSumExp: false })
  return only(asked, wanted)
}

/** Probabilities are then among these. */
function only({ ids, logits }: RowCandidates, allowed: Uint32Array): RowCandidates {
  const kept = new Set(allowed)
  const places = Array.from(ids.keys()).filter(place => kept.has(ids[place] ?? -1))
  return {
    ids: Uint32Array.from(places, place => ids[place] ?? 0),
    logits: Float32Array.from(places, place => logits[place] ?? -Infinity),
    logSumExp: undefined
  }
}
