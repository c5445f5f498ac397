import type { PrivateKey } from '@libp2p/interface'
import { peerIdFromPublicKey } from '@libp2p/peer-id'
import { RecordEnvelope } from '@libp2p/peer-record'
import { NODE_RECORD_DOMAIN, NODE_RECORD_PAYLOAD_TYPE } from '../../protocol/ids.js'
import { MAX_CLOCK_SKEW_MS, MAX_NODE_RECORD_BYTES, NODE_RECORD_LIFETIME_MS } from '../../protocol/limits.js'
import { decodeNodeRecord, encodeNodeRecord, type NodeRecord } from '../../protocol/node-record.js'
import { ProtocolError } from '../../protocol/protocol-error.js'
import { SwarmError } from './errors.js'

const PAYLOAD_TYPE = new TextEncoder().encode(NODE_RECORD_PAYLOAD_TYPE)

/** A record whose signature, swarm and times were checked. */
export interface VerifiedRecord {
  /** The signer. */
  peer: string
  record: NodeRecord
  /** As it came, to be passed on. */
  envelope: Uint8Array
}

export interface RecordRules {
  /** Swarm id, hex. */
  swarm: string
  /** Milliseconds since 1970. */
  now: number
}

/** @throws ProtocolError when a value is outside the protocol's limits */
export async function sealRecord(record: NodeRecord, key: PrivateKey): Promise<Uint8Array> {
  const payload = encodeNodeRecord(record)
  const sealed = await RecordEnvelope.seal(
    { domain: NODE_RECORD_DOMAIN, codec: PAYLOAD_TYPE, marshal: () => payload, equals: () => false },
    key
  )
  const envelope = sealed.marshal()
  if (envelope.byteLength <= MAX_NODE_RECORD_BYTES) return envelope
  throw new ProtocolError('TOO_LARGE', `an envelope of ${envelope.byteLength} bytes, ${MAX_NODE_RECORD_BYTES} at most`)
}

/**
 * As much of a record as fits into an envelope: others are better off without its latencies than without its models, and
 * with some of the models than with none.
 * @throws ProtocolError when it does not fit without all of them either
 */
export async function sealFitting(
  record: NodeRecord,
  key: PrivateKey
): Promise<{ envelope: Uint8Array; record: NodeRecord }> {
  try {
    return { envelope: await sealRecord(record, key), record }
  } catch (error) {
    const smaller = without(record)
    if (smaller === undefined || !(error instanceof ProtocolError) || error.code !== 'TOO_LARGE') throw error
    return sealFitting(smaller, key)
  }
}

function without({ latencies, models, ...rest }: NodeRecord): NodeRecord | undefined {
  if (latencies.length > 0) return { ...rest, models, latencies: [] }
  return models.length > 0 ? { ...rest, models: models.slice(0, -1), latencies } : undefined
}

/** @throws SwarmError RECORD_FORGED, RECORD_INVALID, RECORD_EXPIRED; ProtocolError */
export async function openRecord(envelope: Uint8Array, rules: RecordRules): Promise<VerifiedRecord> {
  if (envelope.byteLength > MAX_NODE_RECORD_BYTES) {
    throw invalid(`an envelope of ${envelope.byteLength} bytes, the most are ${MAX_NODE_RECORD_BYTES}`)
  }
  const { publicKey, payloadType, payload } = await certify(envelope)
  if (!Buffer.from(payloadType).equals(PAYLOAD_TYPE)) throw invalid('the payload is not a node record')
  const record = decodeNodeRecord(payload)
  if (record.swarm !== rules.swarm) throw invalid(`the record is of the swarm ${record.swarm}`)
  checkTimes(record, rules.now)
  return { peer: peerIdFromPublicKey(publicKey).toString(), record, envelope }
}

/** True for a record that no longer counts. */
export function hasExpired(record: NodeRecord, now: number): boolean {
  return record.expires + MAX_CLOCK_SKEW_MS < now
}

async function certify(envelope: Uint8Array): Promise<RecordEnvelope> {
  try {
    return await RecordEnvelope.openAndCertify(envelope, NODE_RECORD_DOMAIN)
  } catch (cause) {
    throw new SwarmError('RECORD_FORGED', 'a node record is refused: the signature does not hold', { cause })
  }
}

function checkTimes(record: NodeRecord, now: number): void {
  if (hasExpired(record, now)) {
    throw new SwarmError('RECORD_EXPIRED', `the record expired ${now - record.expires} ms ago`, {
      details: { expires: record.expires, sequence: record.sequence, now }
    })
  }
  const latest = now + NODE_RECORD_LIFETIME_MS + MAX_CLOCK_SKEW_MS
  if (record.expires > latest || record.sequence > latest) {
    const message = `a node record is refused: it is from the future or lives longer than ${NODE_RECORD_LIFETIME_MS} ms`
    throw new SwarmError('RECORD_INVALID', message, { details: { sequence: record.sequence, now } })
  }
}

function invalid(message: string): SwarmError {
  return new SwarmError('RECORD_INVALID', `a node record is refused: ${message}`)
}
