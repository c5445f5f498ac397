import { bytesOf, exactBytes, hexOf, integer, addressList, peerId, readable, layerRange, malformed } from './checks.js'
import { decodeMessage, finishMessage } from './codec.js'
import { flambeau } from './generated/messages.js'
import type { Dtype } from './hidden-states.js'
import {
  MAX_LAYERS,
  MAX_MESSAGE_BYTES,
  MAX_POSITIONS,
  MAX_RELAY_FRAME_BYTES,
  MAX_ROWS,
  MAX_STAGE_FRAME_BYTES,
  SECRET_BYTES,
  SESSION_BYTES
} from './limits.js'
import type { FaultName } from './protocol-error.js'
import { decodeResult, encodeResult, type Result } from './result.js'
import { statusName } from './status.js'
import { encodeStepFrame } from './step-frame.js'
import { decodeDtype, decodeStep, encodeDtype, type Step } from './step.js'

/** Origin → stage. */
export type StageRequest =
  | { type: 'open'; open: Open }
  | { type: 'link'; next: NextStage | 'origin' }
  | { type: 'step'; step: Step }
  | { type: 'close' }

/** Stage → origin. */
export type StageReply =
  | { type: 'opened'; rowsPerStep: number }
  | { type: 'linked' }
  | { type: 'result'; result: Result }
  /** Star fallback: hidden states for the next stage, carried by the origin. */
  | { type: 'forward'; step: Step }
  | { type: 'fault'; fault: Fault }

/** Stage → next stage. */
export type RelayRequest = { type: 'open'; session: string; secret: Uint8Array } | { type: 'step'; step: Step }

/** Next stage → stage. */
export type RelayReply = { type: 'linked' } | { type: 'fault'; fault: Fault }

/** Asks a peer to be a stage of a session. */
export interface Open {
  /** 16 random bytes, hex. */
  session: string
  /** Manifest hash, hex. */
  manifest: string
  /** The shard's first layer; the stage runs `[start, leave)`. */
  start: number
  leave: number
  /** 32 bytes: who knows it may relay hidden states into this stage. */
  secret: Uint8Array
  /** Of the hidden states that this stage sends. */
  dtype: Dtype
  /** Positions to reserve KV for. */
  context: number
}

export interface NextStage {
  peer: string
  /** Multiaddrs, hints next to what the stage knows itself. */
  addresses: string[]
  /** The next stage's secret. */
  secret: Uint8Array
}

export interface Fault {
  code: FaultName
  message: string
}

/** Field numbers of the steps in stage.proto. */
const STAGE_REQUEST_STEP = 3
const STAGE_REPLY_FORWARD = 4
const RELAY_REQUEST_STEP = 2

const STAGE = { bytes: MAX_STAGE_FRAME_BYTES }
const RELAY = { bytes: MAX_RELAY_FRAME_BYTES }

/** @throws ProtocolError - when a value is outside the limits */
export function encodeStageRequest(request: StageRequest): Uint8Array {
  if (request.type === 'step') return encodeStepFrame(STAGE_REQUEST_STEP, request.step, MAX_STAGE_FRAME_BYTES)
  const writer = flambeau.StageRequest.encode(stageRequestBody(request))
  return finishMessage('stage request', writer, MAX_STAGE_FRAME_BYTES)
}

function stageRequestBody(request: Exclude<StageRequest, { type: 'step' }>): flambeau.StageRequest.$Properties {
  switch (request.type) {
    case 'open':
      return { open: encodeOpen(request.open) }
    case 'link':
      return { link: encodeLink(request.next) }
    case 'close':
      return { close: {} }
  }
}

/** @throws ProtocolError */
export function decodeStageRequest(bytes: Uint8Array): StageRequest {
  const { open, link, step, close } = decodeMessage('stage request', bytes, STAGE, reader =>
    flambeau.StageRequest.decode(reader)
  )
  if (step != null) return { type: 'step', step: decodeStep(step) }
  if (open != null) return { type: 'open', open: decodeOpen(open) }
  if (link != null) return { type: 'link', next: decodeLink(link) }
  if (close != null) return { type: 'close' }
  throw malformed('a stage request without a body that this version knows')
}

/** @throws ProtocolError - when a value is outside the limits */
export function encodeStageReply(reply: StageReply): Uint8Array {
  if (reply.type === 'forward') return encodeStepFrame(STAGE_REPLY_FORWARD, reply.step, MAX_STAGE_FRAME_BYTES)
  const writer = flambeau.StageReply.encode(stageReplyBody(reply))
  return finishMessage('stage reply', writer, MAX_STAGE_FRAME_BYTES)
}

function stageReplyBody(reply: Exclude<StageReply, { type: 'forward' }>): flambeau.StageReply.$Properties {
  switch (reply.type) {
    case 'opened':
      return { opened: { rowsPerStep: checkRows(reply.rowsPerStep) } }
    case 'linked':
      return { linked: {} }
    case 'result':
      return { result: encodeResult(reply.result) }
    case 'fault':
      return { fault: encodeFault(reply.fault) }
  }
}

/** @throws ProtocolError */
export function decodeStageReply(bytes: Uint8Array): StageReply {
  const { opened, linked, result, forward, fault } = decodeMessage('stage reply', bytes, STAGE, reader =>
    flambeau.StageReply.decode(reader)
  )
  if (result != null) return { type: 'result', result: decodeResult(result) }
  if (forward != null) return { type: 'forward', step: decodeStep(forward) }
  if (opened != null) return { type: 'opened', rowsPerStep: checkRows(opened.rowsPerStep ?? 0) }
  if (linked != null) return { type: 'linked' }
  if (fault != null) return { type: 'fault', fault: decodeFault(fault) }
  throw malformed('a stage reply without a body that this version knows')
}

/** @throws ProtocolError - when a value is outside the limits */
export function encodeRelayRequest(request: RelayRequest): Uint8Array {
  if (request.type === 'step') return encodeStepFrame(RELAY_REQUEST_STEP, request.step, MAX_RELAY_FRAME_BYTES)
  const writer = flambeau.RelayRequest.encode({ open: encodeRelayOpen(request) })
  return finishMessage('relay request', writer, MAX_RELAY_FRAME_BYTES)
}

/** @throws ProtocolError */
export function decodeRelayRequest(bytes: Uint8Array): RelayRequest {
  const { open, step } = decodeMessage('relay request', bytes, RELAY, reader => flambeau.RelayRequest.decode(reader))
  if (step != null) return { type: 'step', step: decodeStep(step) }
  if (open == null) throw malformed('a relay request without a body that this version knows')
  const session = hexOf('session', open.session ?? NOTHING, SESSION_BYTES)
  return { type: 'open', session, secret: exactBytes('secret', open.secret ?? NOTHING, SECRET_BYTES) }
}

export function encodeRelayReply(reply: RelayReply): Uint8Array {
  const body = reply.type === 'fault' ? { fault: encodeFault(reply.fault) } : { linked: {} }
  return finishMessage('relay reply', flambeau.RelayReply.encode(body), MAX_RELAY_FRAME_BYTES)
}

/** @throws ProtocolError */
export function decodeRelayReply(bytes: Uint8Array): RelayReply {
  const { linked, fault } = decodeMessage('relay reply', bytes, RELAY, reader => flambeau.RelayReply.decode(reader))
  if (fault != null) return { type: 'fault', fault: decodeFault(fault) }
  if (linked != null) return { type: 'linked' }
  throw malformed('a relay reply without a body that this version knows')
}

const NOTHING = new Uint8Array(0)

function encodeRelayOpen({ session, secret }: { session: string; secret: Uint8Array }): flambeau.RelayOpen.$Properties {
  return {
    session: bytesOf('session', session, SESSION_BYTES),
    secret: exactBytes('secret', secret, SECRET_BYTES)
  }
}

function encodeOpen(open: Open): flambeau.Open.$Properties {
  return {
    session: bytesOf('session', open.session, SESSION_BYTES),
    manifest: bytesOf('manifest', open.manifest),
    start: layerRange('open', open.start, open.leave, MAX_LAYERS).start,
    leave: open.leave,
    secret: exactBytes('secret', open.secret, SECRET_BYTES),
    dtype: encodeDtype(open.dtype),
    context: checkContext(open.context)
  }
}

function decodeOpen(open: flambeau.Open.$Properties): Open {
  const { start, end } = layerRange('open', open.start ?? 0, open.leave ?? 0, MAX_LAYERS)
  return {
    session: hexOf('session', open.session ?? NOTHING, SESSION_BYTES),
    manifest: hexOf('manifest', open.manifest ?? NOTHING),
    start,
    leave: end,
    secret: exactBytes('secret', open.secret ?? NOTHING, SECRET_BYTES),
    dtype: decodeDtype(open.dtype ?? flambeau.Dtype.DTYPE_UNSET),
    context: checkContext(open.context ?? 0)
  }
}

function encodeLink(next: NextStage | 'origin'): flambeau.Link.$Properties {
  if (next === 'origin') return {}
  return {
    peer: peerId('next stage', next.peer),
    addresses: addressList('the next stage', next.addresses),
    secret: exactBytes('secret', next.secret, SECRET_BYTES)
  }
}

function decodeLink({ peer, addresses, secret }: flambeau.Link.$Properties): NextStage | 'origin' {
  if (peer == null || peer === '') return 'origin'
  return {
    peer: peerId('next stage', peer),
    addresses: addressList('the next stage', addresses ?? []),
    secret: exactBytes('secret', secret ?? NOTHING, SECRET_BYTES)
  }
}

function encodeFault({ code, message }: Fault): flambeau.Fault.$Properties {
  return { code: flambeau.StatusCode[code], message: readable(message, MAX_MESSAGE_BYTES) }
}

function decodeFault({ code, message }: flambeau.Fault.$Properties): Fault {
  const name = statusName(code ?? 0)
  if (name === 'OK') throw malformed('a fault with status OK')
  return { code: name, message: readable(message ?? '', MAX_MESSAGE_BYTES) }
}

function checkRows(rows: number): number {
  return integer('rows per step', rows, { min: 1, max: MAX_ROWS })
}

function checkContext(context: number): number {
  return integer('context', context, { min: 1, max: MAX_POSITIONS })
}
