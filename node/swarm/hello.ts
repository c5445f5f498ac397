import type { Connection, Libp2p, PeerId } from '@libp2p/interface'
import { asError } from '../../protocol/errors.js'
import { decodeHello, decodeHelloReply, encodeHello, encodeHelloReply } from '../../protocol/hello.js'
import { HELLO_PROTOCOL } from '../../protocol/ids.js'
import { MAX_HELLO_FRAME_BYTES } from '../../protocol/limits.js'
import { deadline } from '../deadline.js'
import { SwarmError } from './errors.js'
import type { Trust } from '../trust/trust.js'
import type { Gate } from './gate.js'
import type { LogSink } from './libp2p-logger.js'
import { limited } from './members-only.js'
import { Strangers, type StrangerSettings } from './strangers.js'
import { answer, request } from './wire.js'

/** A dialler's hello, from the open connection to the reply: three round trips and a slow machine. */
const HELLO_MILLISECONDS = 10_000
/** The refusal goes out before the connection is closed. */
const REFUSAL_MILLISECONDS = 1_000

interface HelloParts {
  libp2p: Libp2p
  gate: Gate
  trust: Pick<Trust, 'enter' | 'refuse'>
  logger: LogSink
  /** A peer of the same swarm is connected. */
  onMember: (peer: string) => void
}

export interface HelloSettings {
  /** Swarm id, hex. */
  swarm: string
  /** Such as "flambeau/0.1.0". */
  agent: string
  strangers?: StrangerSettings
}

/**
 * `/flambeau/hello/1.0.0`: whoever dialled says which swarm it wants, once per connection. A peer is a member from an
 * accepted hello in either direction until its last connection closes. Who has dialled and does not say it is cut off.
 */
export class Hello {
  readonly #parts: HelloParts
  readonly #swarm: string
  readonly #agent: string
  readonly #strangers: Strangers

  constructor(parts: HelloParts, { swarm, agent, strangers }: HelloSettings) {
    this.#parts = parts
    this.#swarm = swarm
    this.#agent = agent
    this.#strangers = new Strangers({ isMember: peer => parts.gate.isMember(peer) }, strangers)
  }

  /** Before libp2p starts, so that no connection is missed. */
  async start(): Promise<void> {
    const { libp2p } = this.#parts
    libp2p.addEventListener('connection:open', this.#onOpen)
    libp2p.addEventListener('connection:close', this.#onClose)
    libp2p.addEventListener('peer:disconnect', this.#onDisconnect)
    const handler = answer(async (bytes, connection) => this.#receive(bytes, connection), {
      maxFrameBytes: MAX_HELLO_FRAME_BYTES,
      milliseconds: HELLO_MILLISECONDS
    })
    await libp2p.handle(HELLO_PROTOCOL, limited(this.#parts, handler, 'hello'), { maxInboundStreams: 4 })
  }

  stop(): void {
    const { libp2p } = this.#parts
    libp2p.removeEventListener('connection:open', this.#onOpen)
    libp2p.removeEventListener('connection:close', this.#onClose)
    libp2p.removeEventListener('peer:disconnect', this.#onDisconnect)
    this.#strangers.stop()
    this.#parts.gate.close(disconnected)
  }

  readonly #onOpen = ({ detail: connection }: CustomEvent<Connection>): void => {
    if (connection.direction === 'inbound') {
      this.#strangers.opened(connection)
      return
    }
    // A limited connection carries no protocol of ours: a foreign relay's, to be replaced by a direct one.
    if (connection.limits === undefined) void this.#greet(connection)
  }

  readonly #onClose = ({ detail }: CustomEvent<Connection>): void => this.#strangers.closed(detail)

  readonly #onDisconnect = ({ detail }: CustomEvent<PeerId>): void => {
    const peer = detail.toString()
    this.#parts.gate.drop(peer, disconnected(peer))
  }

  async #greet(connection: Connection): Promise<void> {
    const peer = connection.remotePeer.toString()
    using limit = deadline(`the hello to ${peer}`, HELLO_MILLISECONDS)
    const { signal } = limit
    try {
      const stream = await connection.newStream(HELLO_PROTOCOL, { signal })
      const bytes = encodeHello({ swarm: this.#swarm, agent: this.#agent })
      const reply = decodeHelloReply(await request(stream, bytes, { maxFrameBytes: MAX_HELLO_FRAME_BYTES, signal }))
      if (reply.code === 'OK') this.#admit(peer)
      else await this.#refused(connection, refusalOf(peer, reply))
    } catch (caught) {
      await this.#failed(connection, asError(caught))
    }
  }

  async #receive(bytes: Uint8Array, connection: Connection): Promise<Uint8Array> {
    const peer = connection.remotePeer.toString()
    const { swarm } = decodeHello(bytes)
    if (swarm === this.#swarm) {
      this.#admit(peer)
      return encodeHelloReply({ code: 'OK', message: '', agent: this.#agent })
    }
    const error = new SwarmError('WRONG_SWARM', `${peer} wants the swarm ${swarm}`, { details: { peer, swarm } })
    this.#refuse(peer, error)
    this.#parts.trust.refuse('WRONG_SWARM')
    const close = setTimeout(() => void connection.close().catch(() => undefined), REFUSAL_MILLISECONDS)
    close.unref()
    const message = 'this node belongs to another swarm: check the invitation'
    return Promise.resolve(encodeHelloReply({ code: 'WRONG_SWARM', message, agent: this.#agent }))
  }

  #admit(peer: string): void {
    const { gate, onMember } = this.#parts
    if (gate.isMember(peer)) return
    gate.admit(peer)
    onMember(peer)
  }

  #refuse(peer: string, error: SwarmError): void {
    this.#parts.logger.debug({ peer, code: error.code }, 'peer refused')
    this.#parts.gate.refuse(peer, error)
  }

  async #refused(connection: Connection, error: SwarmError): Promise<void> {
    this.#refuse(connection.remotePeer.toString(), error)
    await close(connection)
  }

  async #failed(connection: Connection, cause: Error): Promise<void> {
    const peer = connection.remotePeer.toString()
    if (cause.name === 'UnsupportedProtocolError') {
      await this.#refused(connection, new SwarmError('UNSUPPORTED', `${peer} is not a flambeau node`, { cause }))
      return
    }
    if (this.#parts.gate.isMember(peer)) return
    this.#parts.gate.drop(
      peer,
      new SwarmError('PEER_UNREACHABLE', `${peer} did not answer the hello`, { details: { peer }, cause })
    )
    await close(connection)
  }
}

async function close(connection: Connection): Promise<void> {
  try {
    await connection.close()
  } catch (error) {
    connection.abort(asError(error))
  }
}

function refusalOf(peer: string, { code, message }: { code: string; message: string }): SwarmError {
  const known = code === 'WRONG_SWARM' ? 'WRONG_SWARM' : 'UNAUTHORIZED'
  return new SwarmError(known, `${peer} refused the hello (${code}): ${message}`, { details: { peer, code, message } })
}

function disconnected(peer: string): SwarmError {
  return new SwarmError('PEER_UNREACHABLE', `${peer} closed the connection before it said hello`, { details: { peer } })
}
