import { noise } from '@chainsafe/libp2p-noise'
import type {
  ConnectionEncrypter,
  MessageStream,
  SecureConnectionOptions,
  SecuredConnection,
  StreamMuxer,
  StreamMuxerFactory
} from '@libp2p/interface'
import { yamux } from '@libp2p/yamux'
import { WindowUpdates } from './window-updates.js'

/** Enough for 8 MiB in two round trips; the window grows to this from 256 KiB by the measured round trip. */
const MAX_STREAM_WINDOW_BYTES = 4 * 1024 * 1024
/** Above the window: a paused stream is never aborted for what the other side was allowed to send. */
const MAX_READ_BUFFER_BYTES = 16 * 1024 * 1024
/** Of one connection: sessions and pieces of one neighbour. */
const MAX_STREAMS = 1000

/**
 * Noise, the only encryption. The maintained successor of this package is @libp2p/noise, the same on the wire: nothing
 * else in the project knows which one it is.
 */
export function encrypters(): ((components: NoiseComponents) => ConnectionEncrypter)[] {
  return [components => new OneWritePerMessage(noise()(components))]
}

type NoiseComponents = Parameters<ReturnType<typeof noise>>[0]

/**
 * @libp2p/tcp writes each chunk of a list by itself. For Noise that would be a packet for the two bytes of a message's
 * length and another one for the message, and a wake-up of the other side for each.
 */
class OneWritePerMessage implements ConnectionEncrypter {
  readonly protocol: string
  readonly #encrypter: ConnectionEncrypter

  constructor(encrypter: ConnectionEncrypter) {
    this.#encrypter = encrypter
    this.protocol = encrypter.protocol
  }

  async secureInbound(connection: MessageStream, options?: SecureConnectionOptions): Promise<SecuredConnection> {
    return this.#encrypter.secureInbound(changed(connection, joined), options)
  }

  async secureOutbound(connection: MessageStream, options?: SecureConnectionOptions): Promise<SecuredConnection> {
    return this.#encrypter.secureOutbound(changed(connection, joined), options)
  }
}

const joined = (data: Sent): Sent => data.subarray()

/** The connection itself, which now sends what `change` makes of it; undefined: nothing. */
function changed(connection: MessageStream, change: (data: Sent) => Sent | undefined): MessageStream {
  const send = connection.send.bind(connection)
  connection.send = data => {
    const due = change(data)
    return due === undefined ? !connection.writableNeedsDrain : send(due)
  }
  return connection
}

type Sent = Parameters<MessageStream['send']>[0]

/** Yamux with windows that fit its read buffer. Keep-alive stays on: it measures the round trip by which windows grow. */
export function muxers(): (() => StreamMuxerFactory)[] {
  const make = yamux({
    maxInboundStreams: MAX_STREAMS,
    maxOutboundStreams: MAX_STREAMS,
    streamOptions: { maxStreamWindowSize: MAX_STREAM_WINDOW_BYTES, maxReadBufferLength: MAX_READ_BUFFER_BYTES }
  })
  return [
    () => {
      const factory = make()
      const createStreamMuxer = (connection: MessageStream): StreamMuxer => {
        const updates = new WindowUpdates()
        return factory.createStreamMuxer(changed(connection, frame => updates.pass(frame)))
      }
      return { protocol: factory.protocol, createStreamMuxer }
    }
  ]
}
