import { bytesOf, hexOf, readable, someText } from './checks.js'
import { decodeMessage, finishMessage } from './codec.js'
import { flambeau } from './generated/messages.js'
import { MAX_AGENT_BYTES, MAX_HELLO_FRAME_BYTES, MAX_MESSAGE_BYTES, SWARM_ID_BYTES } from './limits.js'
import { statusName, type StatusName } from './status.js'

/** What a peer says first on a new connection. */
export interface Hello {
  /** Swarm id, 16 bytes in hex. */
  swarm: string
  /** Such as "flambeau/0.1.0". */
  agent: string
}

export interface HelloReply {
  code: StatusName
  /** Why, when the code is not OK. */
  message: string
  agent: string
}

const LIMITS = { bytes: MAX_HELLO_FRAME_BYTES }

/** @throws ProtocolError - when a value is outside the limits */
export function encodeHello({ swarm, agent }: Hello): Uint8Array {
  const writer = flambeau.Hello.encode({
    swarm: bytesOf('swarm id', swarm, SWARM_ID_BYTES),
    agent: someText('agent', agent, MAX_AGENT_BYTES)
  })
  return finishMessage('hello', writer, MAX_HELLO_FRAME_BYTES)
}

/** @throws ProtocolError */
export function decodeHello(bytes: Uint8Array): Hello {
  const { swarm, agent } = decodeMessage('hello', bytes, LIMITS, reader => flambeau.Hello.decode(reader))
  return {
    swarm: hexOf('swarm id', swarm, SWARM_ID_BYTES),
    agent: someText('agent', agent, MAX_AGENT_BYTES)
  }
}

/** @throws ProtocolError - when a value is outside the limits */
export function encodeHelloReply({ code, message, agent }: HelloReply): Uint8Array {
  const writer = flambeau.HelloReply.encode({
    code: flambeau.StatusCode[code],
    message: readable(message, MAX_MESSAGE_BYTES),
    agent: someText('agent', agent, MAX_AGENT_BYTES)
  })
  return finishMessage('hello reply', writer, MAX_HELLO_FRAME_BYTES)
}

/** @throws ProtocolError */
export function decodeHelloReply(bytes: Uint8Array): HelloReply {
  const reply = decodeMessage('hello reply', bytes, LIMITS, reader => flambeau.HelloReply.decode(reader))
  return {
    code: statusName(reply.code),
    message: readable(reply.message, MAX_MESSAGE_BYTES),
    agent: someText('agent', reply.agent, MAX_AGENT_BYTES)
  }
}
