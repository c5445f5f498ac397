import { aligned } from './bytes.js'
import { finite, integer, list, malformed } from './checks.js'
import { flambeau } from './generated/messages.js'
import { bytesPerElement, type Dtype } from './hidden-states.js'
import {
  MAX_CANDIDATES,
  MAX_POSITIONS,
  MAX_ROWS,
  MAX_SECONDS,
  MAX_SEQUENCE,
  MAX_TIMINGS,
  MAX_VOCABULARY,
  MAX_WANTED_IDS,
  MAX_WIDTH
} from './limits.js'

/** `rows` rows at positions `[position, position + rows)` on their way through the route. */
export interface Step {
  /** Number of this step in the session, from 1, without gaps. */
  sequence: number
  /** Of the first row; whatever the stage holds from here on is dropped first. */
  position: number
  rows: number
  input: StepInput
  want: Want
  /** Of the stages passed so far, in order. */
  timings: Timing[]
  /** Only fills the KV of stages that did not see it the first time: no result, and nothing is wanted. */
  replay?: boolean
}

export type StepInput =
  /** One token id a row. */
  | { kind: 'tokens'; tokens: Uint32Array }
  /** `[rows, width]`, little endian; after decoding a view of the frame, and not checked for NaN. */
  | { kind: 'hidden'; dtype: Dtype; bytes: Uint8Array }

/** What the stage with the head answers. */
export interface Want {
  /** Candidates for this many of the last rows; 0: only an acknowledgement. */
  rows: number
  /** The best so many a row. */
  candidates: number
  /** And these tokens. */
  ids: number[]
  /** And the log-sum-exp over the whole vocabulary. */
  logSumExp: boolean
  /** In place of all these: the last row's hidden state after the output norm. */
  embedding?: boolean
}

/** A stage's part of a step, milliseconds; float32 on the wire. */
export interface Timing {
  /** From arrival to the start of the decode. */
  queued: number
  /** In the decode. */
  computed: number
  /** From arrival to sending. */
  handled: number
}

const NOTHING = new Uint8Array(0)
const MILLISECONDS = { min: 0, max: MAX_SECONDS * 1000 }

/** A step as the generated encoder takes it. */
export interface EncodableStep extends flambeau.Step.$Properties {
  payload: Uint8Array
  want: Want | null
  timings: Timing[]
  replay: boolean | null
}

export function encodeStep(step: Step): EncodableStep {
  checkStep(step)
  const { sequence, position, rows, input } = step
  const want = step.want.rows === 0 ? null : step.want
  const head = {
    sequence,
    position,
    rows,
    want,
    timings: encodeTimings(step.timings),
    replay: step.replay === true ? true : null
  }
  if (input.kind === 'tokens') {
    const { buffer, byteOffset, byteLength } = input.tokens
    return { ...head, kind: flambeau.StepKind.TOKENS, payload: new Uint8Array(buffer, byteOffset, byteLength) }
  }
  return { ...head, kind: flambeau.StepKind.HIDDEN, dtype: encodeDtype(input.dtype), payload: input.bytes }
}

export function decodeStep(message: flambeau.Step.$Properties): Step {
  const step = {
    sequence: message.sequence ?? 0,
    position: message.position ?? 0,
    rows: message.rows ?? 0,
    input: decodeInput(message),
    want: decodeWant(message.want),
    timings: decodeTimings(message.timings),
    ...(message.replay === true && { replay: true })
  }
  checkStep(step)
  return step
}

export function encodeTimings(timings: Timing[]): Timing[] {
  for (const { queued, computed, handled } of list('timings', timings, MAX_TIMINGS)) {
    finite('queued time', queued, MILLISECONDS)
    finite('computed time', computed, MILLISECONDS)
    finite('handled time', handled, MILLISECONDS)
  }
  return timings
}

export function decodeTimings(timings: flambeau.Timing.$Properties[] | null | undefined): Timing[] {
  return list('timings', timings ?? [], MAX_TIMINGS).map(timing => ({
    queued: finite('queued time', timing.queued ?? 0, MILLISECONDS),
    computed: finite('computed time', timing.computed ?? 0, MILLISECONDS),
    handled: finite('handled time', timing.handled ?? 0, MILLISECONDS)
  }))
}

export function encodeDtype(dtype: Dtype): flambeau.Dtype {
  return dtype === 'f32' ? flambeau.Dtype.F32 : flambeau.Dtype.F16
}

export function decodeDtype(dtype: flambeau.Dtype): Dtype {
  switch (dtype) {
    case flambeau.Dtype.F32:
      return 'f32'
    case flambeau.Dtype.F16:
      return 'f16'
    default:
      throw malformed(`element type ${dtype} of hidden states`)
  }
}

function decodeInput({ kind, dtype, payload }: flambeau.Step.$Properties): StepInput {
  const bytes = payload ?? NOTHING
  switch (kind) {
    case flambeau.StepKind.TOKENS:
      return { kind: 'tokens', tokens: decodeTokens(bytes) }
    case flambeau.StepKind.HIDDEN:
      return { kind: 'hidden', dtype: decodeDtype(dtype ?? flambeau.Dtype.DTYPE_UNSET), bytes }
    default:
      throw malformed(`step of kind ${kind ?? 0}`)
  }
}

function decodeTokens(bytes: Uint8Array): Uint32Array {
  integer('bytes of tokens', bytes.byteLength, { min: 4, max: MAX_ROWS * 4 })
  if (bytes.byteLength % 4 !== 0) throw malformed(`${bytes.byteLength} bytes of tokens`)
  const source = aligned(bytes, 4)
  return new Uint32Array(source.buffer, source.byteOffset, source.byteLength / 4)
}

function decodeWant(want: flambeau.Want.$Properties | null | undefined): Want {
  if (want?.rows == null || want.rows === 0) return { rows: 0, candidates: 0, ids: [], logSumExp: false }
  return {
    rows: want.rows,
    candidates: want.candidates ?? 0,
    ids: want.ids ?? [],
    logSumExp: want.logSumExp ?? false,
    ...(want.embedding === true && { embedding: true })
  }
}

function checkStep({ sequence, position, rows, input, want, replay }: Step): void {
  integer('sequence number', sequence, { min: 1, max: MAX_SEQUENCE })
  integer('rows', rows, { min: 1, max: MAX_ROWS })
  integer('position', position, { min: 0, max: MAX_POSITIONS - rows })
  checkInput(input, rows)
  checkWant(want, rows)
  if (replay === true && want.rows > 0) throw malformed('a replayed step that wants candidates')
}

function checkWant({ rows: wanted, candidates, ids, logSumExp, embedding }: Want, rows: number): void {
  integer('rows of candidates', wanted, { min: 0, max: MAX_ROWS })
  if (wanted > rows) throw malformed(`candidates for ${wanted} of ${rows} rows`)
  integer('candidates', candidates, { min: 0, max: MAX_CANDIDATES })
  for (const id of list('wanted ids', ids, MAX_WANTED_IDS)) checkToken(id)
  if (embedding !== true) return
  const alone = wanted === 1 && candidates === 0 && ids.length === 0 && !logSumExp
  if (!alone) throw malformed('an embedding is that of the last row, and comes in place of candidates')
}

function checkInput(input: StepInput, rows: number): void {
  if (input.kind === 'tokens') {
    if (input.tokens.length !== rows) throw malformed(`${input.tokens.length} tokens for ${rows} rows`)
    input.tokens.forEach(checkToken)
    return
  }
  const width = input.bytes.byteLength / (rows * bytesPerElement(input.dtype))
  if (!Number.isInteger(width)) throw malformed(`${input.bytes.byteLength} bytes of hidden states for ${rows} rows`)
  integer('width', width, { min: 1, max: MAX_WIDTH })
}

function checkToken(id: number): void {
  integer('token', id, { min: 0, max: MAX_VOCABULARY - 1 })
}
