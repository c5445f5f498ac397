import { addressList, bytesOf, finite, hexOf, integer, list, malformed, peerId, someText, text } from './checks.js'
import { decodeMessage, finishMessage } from './codec.js'
import { flambeau } from './generated/messages.js'
import { decodeHeldModel, encodeHeldModel, type HeldModel } from './held-model.js'
import {
  MAX_AGENT_BYTES,
  MAX_COUNT,
  MAX_LATENCIES,
  MAX_MODELS,
  MAX_NAME_BYTES,
  MAX_NODE_RECORD_BYTES,
  MAX_SECONDS,
  SWARM_ID_BYTES
} from './limits.js'

export type { HeldModel, ServedShard } from './held-model.js'

/** What a node says of itself; the payload of a signed envelope. */
export interface NodeRecord {
  /** Swarm id, hex. */
  swarm: string
  /** Milliseconds of the clock at signing: of two records the higher one counts. */
  sequence: number
  /** Milliseconds since 1970. */
  expires: number
  /** Chosen by the owner, for people. */
  name: string
  /** Such as "flambeau/0.1.0". */
  agent: string
  state: NodeState
  /** Multiaddrs with /p2p/ that others can dial. */
  addresses: string[]
  hardware: Hardware
  models: HeldModel[]
  /** Half of the smallest recent round trip, seconds (float32 on the wire), by peer id. */
  latencies: { peer: string; seconds: number }[]
  /** Passes circuits on for members. */
  relay: boolean
}

/**
 * Only a node that is `online` takes sessions. `draining`: it lets go of those that it has, to pause or to leave. `paused`:
 * a member that serves no layers now.
 */
export type NodeState = 'joining' | 'online' | 'draining' | 'paused'

export interface Hardware {
  backend: string
  device: string
  threads: number
  /** What the owner gives to shards. */
  memoryBytes: number
}

const SECONDS = { min: 0, max: MAX_SECONDS }
const MILLISECONDS = { min: 1, max: Number.MAX_SAFE_INTEGER }
const LIMITS = { bytes: MAX_NODE_RECORD_BYTES }

/**
 * The payload to sign.
 *
 * @throws ProtocolError - when a value is outside the limits
 */
export function encodeNodeRecord(record: NodeRecord): Uint8Array {
  checkRecord(record)
  const message = {
    ...record,
    swarm: bytesOf('swarm id', record.swarm, SWARM_ID_BYTES),
    state: encodeState(record.state),
    models: record.models.map(encodeHeldModel)
  }
  return finishMessage('node record', flambeau.NodeRecord.encode(message), MAX_NODE_RECORD_BYTES)
}

/**
 * A record from the payload of an envelope whose signature was verified. Whether it has expired, is too far ahead of the
 * clock or belongs to this swarm is the caller's to check.
 *
 * @throws ProtocolError
 */
export function decodeNodeRecord(bytes: Uint8Array): NodeRecord {
  const message = decodeMessage('node record', bytes, LIMITS, reader => flambeau.NodeRecord.decode(reader))
  const { sequence, expires, name, agent, addresses, relay } = message
  const record = {
    ...{ sequence, expires, name, agent, addresses, relay },
    swarm: hexOf('swarm id', message.swarm, SWARM_ID_BYTES),
    state: decodeState(message.state),
    hardware: decodeHardware(message.hardware),
    models: list('models', message.models, MAX_MODELS).map(decodeHeldModel),
    latencies: list('latencies', message.latencies, MAX_LATENCIES).map(({ peer, seconds }) => ({
      peer: peer ?? '',
      seconds: seconds ?? 0
    }))
  }
  checkRecord(record)
  return record
}

function checkRecord(record: NodeRecord): void {
  integer('sequence', record.sequence, MILLISECONDS)
  integer('expiry', record.expires, MILLISECONDS)
  text('node name', record.name, MAX_NAME_BYTES)
  someText('agent', record.agent, MAX_AGENT_BYTES)
  addressList('a node', record.addresses)
  checkHardware(record.hardware)
  list('models', record.models, MAX_MODELS)
  for (const { peer, seconds } of list('latencies', record.latencies, MAX_LATENCIES)) {
    peerId('peer of a latency', peer)
    finite('latency', seconds, SECONDS)
  }
}

function checkHardware({ backend, device, threads, memoryBytes }: Hardware): void {
  text('backend', backend, MAX_NAME_BYTES)
  text('device', device, MAX_NAME_BYTES)
  integer('threads', threads, { min: 0, max: MAX_COUNT })
  integer('memory', memoryBytes, { min: 0, max: Number.MAX_SAFE_INTEGER })
}

function decodeHardware(hardware: flambeau.Hardware.$Properties | null | undefined): Hardware {
  return {
    backend: hardware?.backend ?? '',
    device: hardware?.device ?? '',
    threads: hardware?.threads ?? 0,
    memoryBytes: hardware?.memoryBytes ?? 0
  }
}

function encodeState(state: NodeState): flambeau.NodeState {
  switch (state) {
    case 'joining':
      return flambeau.NodeState.JOINING
    case 'online':
      return flambeau.NodeState.ONLINE
    case 'draining':
      return flambeau.NodeState.DRAINING
    case 'paused':
      return flambeau.NodeState.PAUSED
  }
}

function decodeState(state: flambeau.NodeState): NodeState {
  switch (state) {
    case flambeau.NodeState.JOINING:
      return 'joining'
    case flambeau.NodeState.ONLINE:
      return 'online'
    case flambeau.NodeState.DRAINING:
      return 'draining'
    case flambeau.NodeState.PAUSED:
      return 'paused'
    default:
      throw malformed(`node state ${state}`)
  }
}
