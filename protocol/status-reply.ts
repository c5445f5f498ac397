import { list, malformed, tooLarge } from './checks.js'
import { decodeMessage, finishMessage } from './codec.js'
import { flambeau } from './generated/messages.js'
import { MAX_KNOWN_RECORDS, MAX_NODE_RECORD_BYTES, MAX_STATUS_FRAME_BYTES } from './limits.js'

/** The answer to a status request. Envelopes are signed; verifying them is the caller's work. */
export interface StatusReply {
  /** The peer's own signed envelope, fresh. */
  record: Uint8Array
  /** Envelopes of others that it has seen, for whoever just joined; all together within MAX_STATUS_FRAME_BYTES. */
  known: Uint8Array[]
}

const LIMITS = { bytes: MAX_STATUS_FRAME_BYTES }

/** A question that brings news. */
export interface StatusRequest {
  /** The asking peer's own signed envelope; undefined from a peer that only asks. */
  record: Uint8Array | undefined
  /** Envelopes of others that changed lately. */
  known: Uint8Array[]
}

/** @throws ProtocolError - when the envelopes are outside the limits */
export function encodeStatusRequest({ record, known }: StatusRequest): Uint8Array {
  checkRequest({ record, known })
  const writer = flambeau.StatusRequest.encode({ record: record ?? null, known })
  return finishMessage('status request', writer, MAX_STATUS_FRAME_BYTES)
}

/** @throws ProtocolError */
export function decodeStatusRequest(bytes: Uint8Array): StatusRequest {
  const message = decodeMessage('status request', bytes, LIMITS, reader => flambeau.StatusRequest.decode(reader))
  const record = message.record.length === 0 ? undefined : message.record
  checkRequest({ record, known: message.known })
  return { record, known: message.known }
}

/** @throws ProtocolError - TOO_LARGE when the envelopes do not fit into one frame */
export function encodeStatusReply(reply: StatusReply): Uint8Array {
  checkReply(reply)
  return finishMessage('status reply', flambeau.StatusReply.encode(reply), MAX_STATUS_FRAME_BYTES)
}

/** @throws ProtocolError */
export function decodeStatusReply(bytes: Uint8Array): StatusReply {
  const { record, known } = decodeMessage('status reply', bytes, LIMITS, reader => flambeau.StatusReply.decode(reader))
  checkReply({ record, known })
  return { record, known }
}

function checkRequest({ record, known }: StatusRequest): void {
  if (record !== undefined) checkEnvelope(record)
  list('known records', known, MAX_KNOWN_RECORDS).forEach(checkEnvelope)
}

function checkReply({ record, known }: StatusReply): void {
  checkEnvelope(record)
  list('known records', known, MAX_KNOWN_RECORDS).forEach(checkEnvelope)
}

function checkEnvelope(envelope: Uint8Array): void {
  if (envelope.length === 0) throw malformed('an empty node record')
  if (envelope.length > MAX_NODE_RECORD_BYTES) throw tooLarge(`a node record of ${envelope.length} bytes`)
}
