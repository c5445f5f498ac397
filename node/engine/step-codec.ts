import { aligned } from '../../protocol/bytes.js'
import type { Dtype } from '../../protocol/hidden-states.js'
import type { Codec } from './codec.js'
import type { EngineStep, EngineStepResult, RowCandidates } from './types.js'

/*
 * Steps and their results as plain numbers rather than through a general serializer: they pass four times a token, and
 * little of what runs then is in a cache. Head values are float64, so that the check in the child sees what was asked.
 */

const DTYPES: readonly Dtype[] = ['f32', 'f16']
const HEAD = 13
const RESULT_HEAD = 6
const ROW_HEAD = 3
const NONE = -1

/**
 * `shard, sequence, position, rows, leave, dtype, tokens, hidden dtype, want: rows, candidates, log-sum-exp, ids,
 * embedding` (float64, of the ids and tokens how many; -1: there is none), the ids (float64), the tokens (uint32), the
 * hidden states.
 */
export const STEP: Codec<EngineStep> = {
  encode: step => {
    const { tokens, hidden, want } = step
    const head = new Float64Array(HEAD + want.ids.length)
    head[0] = step.shard
    head[1] = step.sequence
    head[2] = step.position
    head[3] = step.rows
    head[4] = step.leave
    head[5] = DTYPES.indexOf(step.dtype)
    head[6] = tokens?.length ?? NONE
    head[7] = hidden === undefined ? NONE : DTYPES.indexOf(hidden.dtype)
    head[8] = want.rows
    head[9] = want.candidates
    head[10] = want.logSumExp ? 1 : 0
    head[11] = want.ids.length
    head[12] = want.embedding === true ? 1 : 0
    head.set(want.ids, HEAD)
    const parts = [bytesOf(head)]
    if (tokens !== undefined) parts.push(bytesOf(tokens))
    if (hidden !== undefined) parts.push(hidden.bytes)
    return parts
  },
  decode: bytes => {
    const source = aligned(bytes, 8)
    const number = (at: number): number => numbers[at] ?? NaN
    const numbers = new Float64Array(source.buffer, source.byteOffset, source.byteLength >> 3)
    const ids = Array.from(numbers.subarray(HEAD, HEAD + number(11)))
    let at = 8 * (HEAD + ids.length)
    const step: EngineStep = {
      shard: number(0),
      sequence: number(1),
      position: number(2),
      rows: number(3),
      leave: number(4),
      dtype: dtypeOf(number(5)),
      want: { rows: number(8), candidates: number(9), ids, logSumExp: number(10) === 1 }
    }
    if (number(12) === 1) step.want.embedding = true
    if (number(6) !== NONE) {
      step.tokens = new Uint32Array(source.buffer, source.byteOffset + at, number(6))
      at += step.tokens.byteLength
    }
    if (number(7) !== NONE) step.hidden = { dtype: dtypeOf(number(7)), bytes: source.subarray(at) }
    return step
  }
}

/**
 * `queued, computed, bytes of hidden states, rows of candidates, of the decode: steps, rows` (float64, -1: none), for each
 * row `candidates, log-sum-exp, width of the embedding` (float64, NaN and -1: none), for each row the ids (uint32), the
 * logits and the embedding (float32), the hidden states.
 */
export const STEP_RESULT: Codec<EngineStepResult> = {
  encode: ({ hidden, candidates, queued, computed, decode }) => {
    const head = new Float64Array(RESULT_HEAD)
    head[0] = queued
    head[1] = computed
    head[2] = hidden?.byteLength ?? NONE
    head[3] = candidates.length
    head[4] = decode?.steps ?? NONE
    head[5] = decode?.rows ?? NONE
    const parts = [bytesOf(head)]
    for (const { ids, logSumExp, embedding } of candidates) {
      parts.push(bytesOf(Float64Array.of(ids.length, logSumExp ?? NaN, embedding?.length ?? NONE)))
    }
    for (const { ids, logits, embedding } of candidates) {
      parts.push(bytesOf(ids), bytesOf(logits))
      if (embedding !== undefined) parts.push(bytesOf(embedding))
    }
    if (hidden !== undefined) parts.push(hidden)
    return parts
  },
  decode: bytes => {
    const source = aligned(bytes, 8)
    const number = (at: number): number => numbers[at] ?? NaN
    const numbers = new Float64Array(source.buffer, source.byteOffset, source.byteLength >> 3)
    const rows = number(3)
    let at = 8 * (RESULT_HEAD + ROW_HEAD * rows)
    const candidates = Array.from({ length: rows }, (_, row): RowCandidates => {
      const first = RESULT_HEAD + ROW_HEAD * row
      const [length, logSumExp, width] = [number(first), number(first + 1), number(first + 2)]
      const ids = new Uint32Array(source.buffer, source.byteOffset + at, length)
      const logits = new Float32Array(source.buffer, ids.byteOffset + ids.byteLength, length)
      at += ids.byteLength + logits.byteLength
      const decoded = { ids, logits, logSumExp: Number.isNaN(logSumExp) ? undefined : logSumExp }
      if (width === NONE) return decoded
      const embedding = new Float32Array(source.buffer, source.byteOffset + at, width)
      at += embedding.byteLength
      return { ...decoded, embedding }
    })
    const hidden = number(2) === NONE ? undefined : source.subarray(at, at + number(2))
    const result: EngineStepResult = { hidden, candidates, queued: number(0), computed: number(1) }
    if (number(4) !== NONE) result.decode = { steps: number(4), rows: number(5) }
    return result
  }
}

/** A name that is not known stays one: whoever checks the step refuses it. */
function dtypeOf(index: number): Dtype {
  return DTYPES[index] ?? ('unknown' as Dtype)
}

function bytesOf({ buffer, byteOffset, byteLength }: Float64Array | Float32Array | Uint32Array): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength)
}
