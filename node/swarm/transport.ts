import { noise } from '@chainsafe/libp2p-noise'
import type { ConnectionEncrypter, ComponentLogger, StreamMuxerFactory } from '@libp2p/interface'
import { yamux } from '@libp2p/yamux'

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
export function encrypters(): (() => ConnectionEncrypter)[] {
  return [noise() as () => ConnectionEncrypter]
}

/** Yamux with windows that fit its read buffer. Keep-alive stays on: it measures the round trip by which windows grow. */
export function muxers(): ((components: { logger: ComponentLogger }) => StreamMuxerFactory)[] {
  return [
    yamux({
      maxInboundStreams: MAX_STREAMS,
      maxOutboundStreams: MAX_STREAMS,
      streamOptions: { maxStreamWindowSize: MAX_STREAM_WINDOW_BYTES, maxReadBufferLength: MAX_READ_BUFFER_BYTES }
    })
  ]
}
