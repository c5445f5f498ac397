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
  MAX_SECONDS,
  MAX_SEQUENCE,
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
  | { type: 'link'; link: Link }
  | { type: 'step'; step: Step }
  | { type: 'close' }
  /** Star fallback: the next stage has run a replayed step. */
  | { type: 'replayed'; sequence: number }
  /** Nothing is under way: until the session is resumed, the stage may end it where others need its room. */
  | { type: 'rest' }
  /** The session goes on, with KV reserved for so many positions. */
  | { type: 'resume'; context: number }

/** Stage → origin. */
export type StageReply =
  | { type: 'opened'; rowsPerStep: number }
  | { type: 'linked' }
  | { type: 'result'; result: Result }
  /** Star fallback: hidden states for the next stage, carried by the origin. */
  | { type: 'forward'; step: Step }
  | { type: 'fault'; fault: Fault }
  /** A replayed step that came over this stream was run. */
  | { type: 'replayed'; sequence: number }
  /** The next stage is gone; what should go there is kept until this one is linked again. */
  | { type: 'unlinked'; message: string }
  /** The next stage has run everything that was to be replayed over the last link. */
  | { type: 'caught-up' }
  /** The stage leaves in so many milliseconds: another one should take its place before that. */
  | { type: 'drain'; milliseconds: number }
  | { type: 'resumed' }

/** Stage → next stage. */
export type RelayRequest = { type: 'open'; session: string; secret: Uint8Array } | { type: 'step'; step: Step }

/** Next stage → stage. */
export type RelayReply = { type: 'linked' } | { type: 'fault'; fault: Fault } | { type: 'replayed'; sequence: number }

/** Asks a peer to be a stage of a session. */
export interface Open {
  /** 16 random bytes, hex: this stage's alone, so that two of one session may meet on one node. */
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
  /** The next stage's id of the session, hex. */
  session: string
  /** The next stage's secret. */
  secret: Uint8Array
}

/** Where a stage sends its hidden states from now on, and what of those that it has sent before. */
export interface Link {
  next: NextStage | 'origin'
  /** Steps from this sequence number on are sent as steps. */
  liveFrom: number
  /** How those before it are replayed; undefined: they are not sent. */
  replay: Replay | undefined
  /** The old link stays, and everything is replayed over this one until it takes the old one's place. */
  aside: boolean
}

export interface Replay {
  /** The most rows that the next stage takes in one step. */
  rowsPerStep: number
  /** In the steps in which they were sent first, so that the next stage computes the same bits. */
  exact: boolean
}

export interface Fault {
  code: FaultName
  message: string
}

/** Answers to a link that leave the session open; any other fault ends it at that stage. */
export function endsSession({ code }: Fault): boolean {
  return code !== 'UNREACHABLE' && code !== 'JOURNAL_GONE'
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
      return { link: encodeLink(request.link) }
    case 'close':
      return { close: {} }
    case 'replayed':
      return { replayed: { sequence: checkSequence(request.sequence) } }
    case 'rest':
      return { rest: {} }
    case 'resume':
      return { resume: { context: checkContext(request.context) } }
  }
}

/** @throws ProtocolError */
export function decodeStageRequest(bytes: Uint8Array): StageRequest {
  const { open, link, step, close, replayed, rest, resume } = decodeMessage('stage request', bytes, STAGE, reader =>
    flambeau.StageRequest.decode(reader)
  )
  if (step != null) return { type: 'step', step: decodeStep(step) }
  if (open != null) return { type: 'open', open: decodeOpen(open) }
  if (replayed != null) return decodeReplayed(replayed)
  if (link != null) return { type: 'link', link: decodeLink(link) }
  if (rest != null) return { type: 'rest' }
  if (resume != null) return { type: 'resume', context: checkContext(resume.context ?? 0) }
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
    case 'replayed':
      return { replayed: { sequence: checkSequence(reply.sequence) } }
    case 'unlinked':
      return { unlinked: { message: readable(reply.message, MAX_MESSAGE_BYTES) } }
    case 'caught-up':
      return { caughtUp: {} }
    case 'drain':
      return { drain: { milliseconds: checkDrain(reply.milliseconds) } }
    case 'resumed':
      return { resumed: {} }
  }
}

/** @throws ProtocolError */
export function decodeStageReply(bytes: Uint8Array): StageReply {
  const body = decodeMessage('stage reply', bytes, STAGE, reader => flambeau.StageReply.decode(reader))
  const { opened, linked, result, forward, fault, replayed, unlinked, caughtUp, drain, resumed } = body
  if (result != null) return { type: 'result', result: decodeResult(result) }
  if (forward != null) return { type: 'forward', step: decodeStep(forward) }
  if (opened != null) return { type: 'opened', rowsPerStep: checkRows(opened.rowsPerStep ?? 0) }
  if (linked != null) return { type: 'linked' }
  if (fault != null) return { type: 'fault', fault: decodeFault(fault) }
  if (replayed != null) return decodeReplayed(replayed)
  if (unlinked != null) return { type: 'unlinked', message: readable(unlinked.message ?? '', MAX_MESSAGE_BYTES) }
  if (caughtUp != null) return { type: 'caught-up' }
  if (drain != null) return { type: 'drain', milliseconds: checkDrain(drain.milliseconds ?? 0) }
  if (resumed != null) return { type: 'resumed' }
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
  return finishMessage('relay reply', flambeau.RelayReply.encode(relayReplyBody(reply)), MAX_RELAY_FRAME_BYTES)
}

function relayReplyBody(reply: RelayReply): flambeau.RelayReply.$Properties {
  switch (reply.type) {
    case 'linked':
      return { linked: {} }
    case 'fault':
      return { fault: encodeFault(reply.fault) }
    case 'replayed':
      return { replayed: { sequence: checkSequence(reply.sequence) } }
  }
}

/** @throws ProtocolError */
export function decodeRelayReply(bytes: Uint8Array): RelayReply {
  const body = decodeMessage('relay reply', bytes, RELAY, reader => flambeau.RelayReply.decode(reader))
  const { linked, fault, replayed } = body
  if (replayed != null) return decodeReplayed(replayed)
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

function encodeLink({ next, liveFrom, replay, aside }: Link): flambeau.Link.$Properties {
  return {
    ...(next !== 'origin' && encodeNext(next)),
    liveFrom: checkSequence(liveFrom),
    ...(replay && { replay: { rowsPerStep: checkRows(replay.rowsPerStep), ...(replay.exact && { exact: true }) } }),
    ...(aside && { aside })
  }
}

function encodeNext({ peer, addresses, secret, session }: NextStage): flambeau.Link.$Properties {
  return {
    peer: peerId('next stage', peer),
    addresses: addressList('the next stage', addresses),
    secret: exactBytes('secret', secret, SECRET_BYTES),
    session: bytesOf('session', session, SESSION_BYTES)
  }
}

function decodeLink(link: flambeau.Link.$Properties): Link {
  const { replay } = link
  return {
    next: link.peer == null || link.peer === '' ? 'origin' : decodeNext(link.peer, link),
    liveFrom: checkSequence(link.liveFrom ?? 0),
    replay:
      replay == null ? undefined : { rowsPerStep: checkRows(replay.rowsPerStep ?? 0), exact: replay.exact ?? false },
    aside: link.aside ?? false
  }
}

function decodeNext(peer: string, { addresses, secret, session }: flambeau.Link.$Properties): NextStage {
  return {
    peer: peerId('next stage', peer),
    addresses: addressList('the next stage', addresses ?? []),
    secret: exactBytes('secret', secret ?? NOTHING, SECRET_BYTES),
    session: hexOf('session', session ?? NOTHING, SESSION_BYTES)
  }
}

function decodeReplayed({ sequence }: flambeau.Replayed.$Properties): { type: 'replayed'; sequence: number } {
  return { type: 'replayed', sequence: checkSequence(sequence ?? 0) }
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

function checkSequence(sequence: number): number {
  return integer('sequence number', sequence, { min: 1, max: MAX_SEQUENCE })
}

function checkDrain(milliseconds: number): number {
  return integer('milliseconds to drain', milliseconds, { min: 0, max: MAX_SECONDS * 1_000 })
}

function checkContext(context: number): number {
  return integer('context', context, { min: 1, max: MAX_POSITIONS })
}
