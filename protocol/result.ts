import { aligned } from './bytes.js'
import { finite, integer, list, malformed, tooLarge } from './checks.js'
import type { flambeau } from './generated/messages.js'
import { MAX_CANDIDATES, MAX_ROWS, MAX_SEQUENCE, MAX_WANTED_IDS } from './limits.js'
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
}

const MAX_ROW_BYTES = 4 * (MAX_CANDIDATES + MAX_WANTED_IDS)
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

function encodeRow({ ids, logits, logSumExp }: RowCandidates): flambeau.RowCandidates.$Properties {
  checkRow(ids.byteLength, logits)
  const row = { ids: bytesOf(ids), logits: bytesOf(logits) }
  return logSumExp === undefined ? row : { ...row, logSumExp: finite('log-sum-exp', logSumExp, LOG_SUM_EXP) }
}

function decodeRow({ ids, logits, logSumExp }: flambeau.RowCandidates.$Properties): RowCandidates {
  const idBytes = fourByteElements('ids', ids ?? NOTHING)
  const logitBytes = fourByteElements('logits', logits ?? NOTHING)
  const row = {
    ids: new Uint32Array(idBytes.buffer, idBytes.byteOffset, idBytes.byteLength / 4),
    logits: new Float32Array(logitBytes.buffer, logitBytes.byteOffset, logitBytes.byteLength / 4),
    logSumExp: logSumExp == null ? undefined : finite('log-sum-exp', logSumExp, LOG_SUM_EXP)
  }
  checkRow(row.ids.byteLength, row.logits)
  return row
}

function checkRow(idBytes: number, logits: Float32Array): void {
  if (idBytes !== logits.byteLength) throw malformed(`${idBytes / 4} ids with ${logits.length} logits`)
  if (idBytes > MAX_ROW_BYTES) throw tooLarge(`${idBytes / 4} candidates a row, the most are ${MAX_ROW_BYTES / 4}`)
  if (!logits.every(Number.isFinite)) throw new ProtocolError('NOT_FINITE', 'a logit is NaN or infinite')
}

function fourByteElements(what: string, bytes: Uint8Array): Uint8Array {
  if (bytes.byteLength % 4 !== 0) throw malformed(`${bytes.byteLength} bytes of ${what}`)
  if (bytes.byteLength > MAX_ROW_BYTES) throw tooLarge(`${bytes.byteLength} bytes of ${what} a row`)
  return aligned(bytes, 4)
}

function bytesOf({ buffer, byteOffset, byteLength }: Uint32Array | Float32Array): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength)
}
