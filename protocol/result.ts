import { aligned } from './bytes.js'
import { finite, integer, list, malformed, tooLarge } from './checks.js'
import type { flambeau } from './generated/messages.js'
import { MAX_CANDIDATES, MAX_ROWS, MAX_SEQUENCE, MAX_WANTED_IDS, MAX_WIDTH } from './limits.js'
import { ProtocolError } from './protocol-error.js'
import { decodeTimings, encodeTimings, type Timing } from './step.js'

/** The head's answer to a step. */
export interface Result {
  /** The step's. */
  sequence: number
  /** One for each row that was wanted, in order. */
  rows: RowCandidates[]
  /** Of all stages, in order. */
  timings: Timing[]
}

export interface RowCandidates {
  /** Token ids, best logit first, then the ones asked for by id. */
  ids: Uint32Array
  /** As many. */
  logits: Float32Array
  /** Over the whole vocabulary; undefined when it was not asked for. */
  logSumExp: number | undefined
  /** `[width]`, the hidden state after the output norm; absent where it was not asked for. */
  embedding?: Float32Array
}

const MAX_ROW_BYTES = 4 * (MAX_CANDIDATES + MAX_WANTED_IDS)
const MAX_EMBEDDING_BYTES = 4 * MAX_WIDTH
const NOTHING = new Uint8Array(0)
const SEQUENCE = { min: 1, max: MAX_SEQUENCE }
const LOG_SUM_EXP = { min: -Number.MAX_VALUE, max: Number.MAX_VALUE }

export function encodeResult({ sequence, rows, timings }: Result): flambeau.Result.$Properties {
  return {
    sequence: integer('sequence number', sequence, SEQUENCE),
    rows: list('rows of candidates', rows, MAX_ROWS).map(encodeRow),
    timings: encodeTimings(timings)
  }
}

export function decodeResult({ sequence, rows, timings }: flambeau.Result.$Properties): Result {
  return {
    sequence: integer('sequence number', sequence ?? 0, SEQUENCE),
    rows: list('rows of candidates', rows ?? [], MAX_ROWS).map(decodeRow),
    timings: decodeTimings(timings)
  }
}

function encodeRow({ ids, logits, logSumExp, embedding }: RowCandidates): flambeau.RowCandidates.$Properties {
  checkRow(ids.byteLength, logits)
  return {
    ids: bytesOf(ids),
    logits: bytesOf(logits),
    ...(logSumExp !== undefined && { logSumExp: finite('log-sum-exp', logSumExp, LOG_SUM_EXP) }),
    ...(embedding !== undefined && { embedding: bytesOf(checkedEmbedding(embedding)) })
  }
}

function decodeRow({ ids, logits, logSumExp, embedding }: flambeau.RowCandidates.$Properties): RowCandidates {
  const idBytes = fourByteElements('ids', ids ?? NOTHING, MAX_ROW_BYTES)
  const row = {
    ids: new Uint32Array(idBytes.buffer, idBytes.byteOffset, idBytes.byteLength / 4),
    logits: floats('logits', logits ?? NOTHING, MAX_ROW_BYTES),
    logSumExp: logSumExp == null ? undefined : finite('log-sum-exp', logSumExp, LOG_SUM_EXP)
  }
  checkRow(row.ids.byteLength, row.logits)
  if (embedding == null || embedding.byteLength === 0) return row
  return { ...row, embedding: checkedEmbedding(floats('an embedding', embedding, MAX_EMBEDDING_BYTES)) }
}

function checkRow(idBytes: number, logits: Float32Array): void {
  if (idBytes !== logits.byteLength) throw malformed(`${idBytes / 4} ids with ${logits.length} logits`)
  if (idBytes > MAX_ROW_BYTES) throw tooLarge(`${idBytes / 4} candidates a row, the most are ${MAX_ROW_BYTES / 4}`)
  if (!logits.every(Number.isFinite)) throw new ProtocolError('NOT_FINITE', 'a logit is NaN or infinite')
}

function checkedEmbedding(embedding: Float32Array): Float32Array {
  integer('width of an embedding', embedding.length, { min: 1, max: MAX_WIDTH })
  if (!embedding.every(Number.isFinite)) throw new ProtocolError('NOT_FINITE', 'an embedding has NaN or infinity')
  return embedding
}

function floats(what: string, bytes: Uint8Array, most: number): Float32Array {
  const source = fourByteElements(what, bytes, most)
  return new Float32Array(source.buffer, source.byteOffset, source.byteLength / 4)
}

/** Looked at before anything is copied. */
function fourByteElements(what: string, bytes: Uint8Array, most: number): Uint8Array {
  if (bytes.byteLength % 4 !== 0) throw malformed(`${bytes.byteLength} bytes of ${what}`)
  if (bytes.byteLength > most) throw tooLarge(`${bytes.byteLength} bytes of ${what} a row`)
  return aligned(bytes, 4)
}

function bytesOf({ buffer, byteOffset, byteLength }: Uint32Array | Float32Array): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength)
}
