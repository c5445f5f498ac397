import type { Connection, Stream, StreamCloseEvent, StreamMessageEvent } from '@libp2p/interface'
import * as lp from 'it-length-prefixed'
import { pipe } from 'it-pipe'
import type { Uint8ArrayList } from 'uint8arraylist'
import { asError } from '../../protocol/errors.js'
import { deadline } from '../deadline.js'
import { SwarmError } from './errors.js'
import { closedError, drained } from './frame-stream.js'

export { drained, frames, FrameStream, type FrameStreamOptions, type Traffic } from './frame-stream.js'

/** The reader of `readFrom` lets this many bytes wait before it holds the other side back. */
const HIGH_WATER_BYTES = 1024 * 1024
/** A served call ends after this long unless its options say otherwise. */
const SERVE_MILLISECONDS = 30_000
/** Bytes of a varint length: 2^35 is far above every frame limit. */
const MAX_LENGTH_BYTES = 5

export type Chunk = Uint8Array | Uint8ArrayList

export interface SignalOptions {
  signal?: AbortSignal
}

export interface CallOptions extends SignalOptions {
  /** Larger frames are refused in both directions. */
  maxFrameBytes: number
}

export interface ServeOptions {
  maxFrameBytes: number
  /** The whole call, from the stream's arrival to the last reply handed over. */
  milliseconds?: number
}

export type StreamHandler = (stream: Stream, connection: Connection) => Promise<void>

/**
 * it-pipe source: the other side's bytes, with back-pressure. One reader per stream, for its whole life.
 * (A libp2p 3 stream's own iterator buffers without bound.)
 * @throws the stream's error on a reset; the signal's reason, after the stream was aborted.
 */
export async function* readFrom(stream: Stream, { signal }: SignalOptions = {}): AsyncGenerator<Chunk> {
  const reader = new StreamReader(stream, signal)
  try {
    for (;;) {
      const chunk = await reader.next()
      if (chunk === undefined) return
      yield chunk
    }
  } finally {
    reader.release()
  }
}

/** it-pipe sink: waits where the stream is full, half-closes when the source ends, resets on an error. */
export function writeTo(
  stream: Stream,
  { signal }: SignalOptions = {}
): (source: AsyncIterable<Chunk> | Iterable<Chunk>) => Promise<void> {
  return async source => {
    try {
      for await (const chunk of source) {
        signal?.throwIfAborted()
        if (!stream.send(chunk)) await drained(stream, signal)
      }
      await stream.close(signal === undefined ? {} : { signal })
    } catch (error) {
      stream.abort(asError(error))
      throw error
    }
  }
}

/** it-pipe transform: bytes to frames, each at most `maxFrameBytes`, checked before it is buffered. */
export function decoder(maxFrameBytes: number): (source: AsyncIterable<Chunk>) => AsyncGenerator<Uint8Array> {
  return async function* (source) {
    const options = { maxDataLength: maxFrameBytes, maxLengthLength: MAX_LENGTH_BYTES }
    for await (const frame of lp.decode(source, options)) yield plain(frame.subarray())
  }
}

/** it-pipe transform: frames to bytes. */
export function encoder(
  maxFrameBytes: number
): (source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>) => AsyncGenerator<Chunk> {
  return async function* (source) {
    yield* lp.encode(source, { maxDataLength: maxFrameBytes })
  }
}

/**
 * One request, many replies; the stream is finished afterwards, and aborted when the caller stops early.
 * @throws what the stream died of, e.g. it-length-prefixed's error for an oversized frame; the signal's reason.
 */
export async function* call(stream: Stream, request: Uint8Array, options: CallOptions): AsyncGenerator<Uint8Array> {
  const sending = pipe([request], encoder(options.maxFrameBytes), writeTo(stream, options))
  // Its failure aborts the stream, which the reader below reports.
  sending.catch(() => undefined)
  let complete = false
  try {
    yield* pipe(readFrom(stream, options), decoder(options.maxFrameBytes))
    await sending
    complete = true
  } finally {
    if (!complete) stream.abort(new SwarmError('STREAM_CLOSED', 'the caller wants no more replies'))
  }
}

/**
 * One request, one reply, and the end of the stream.
 * @throws SwarmError REPLY_INVALID when the other side ends without a reply or sends a second one; else as `call`.
 */
export async function request(stream: Stream, bytes: Uint8Array, options: CallOptions): Promise<Uint8Array> {
  let reply: Uint8Array | undefined
  for await (const frame of call(stream, bytes, options)) {
    if (reply !== undefined) throw replyInvalid(stream, 'more than one reply came')
    reply = frame
  }
  if (reply === undefined) throw replyInvalid(stream, 'the stream ended without a reply')
  return reply
}

/** The other side of `call`: a handler over the frames of one stream. Its errors reset the stream. */
export function serve(
  handler: (
    requests: AsyncIterable<Uint8Array>,
    connection: Connection,
    signal: AbortSignal
  ) => AsyncIterable<Uint8Array>,
  { maxFrameBytes, milliseconds = SERVE_MILLISECONDS }: ServeOptions
): StreamHandler {
  return async (stream, connection) => {
    using limit = deadline(`serving ${stream.protocol}`, milliseconds)
    const { signal } = limit
    await pipe(
      readFrom(stream, { signal }),
      decoder(maxFrameBytes),
      requests => handler(requests, connection, signal),
      encoder(maxFrameBytes),
      writeTo(stream, { signal })
    )
  }
}

/** The other side of `request`: one request, one reply. */
export function answer(
  handler: (request: Uint8Array, connection: Connection, signal: AbortSignal) => Promise<Uint8Array>,
  options: ServeOptions
): StreamHandler {
  return serve(async function* (requests, connection, signal) {
    let answered = false
    for await (const frame of requests) {
      if (answered) throw new SwarmError('FRAME_INVALID', 'a second request came on a stream for one')
      answered = true
      yield await handler(frame, connection, signal)
    }
  }, options)
}

/** Never a Buffer, whose `slice` would share memory. */
function plain(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

function replyInvalid(stream: Stream, what: string): SwarmError {
  return new SwarmError('REPLY_INVALID', `${what} (${stream.protocol})`, { details: { protocol: stream.protocol } })
}

/** The event side of `readFrom`. */
class StreamReader {
  readonly #stream: Stream
  readonly #signal: AbortSignal | undefined
  #chunks: Chunk[] = []
  #bytes = 0
  #done: boolean
  #error: Error | undefined
  #wake: () => void = () => undefined
  #resuming = false

  constructor(stream: Stream, signal: AbortSignal | undefined) {
    this.#stream = stream
    this.#signal = signal
    this.#done = stream.readableEnded
    if (stream.status === 'aborted' || stream.status === 'reset') this.#error = closedError(stream)
    stream.addEventListener('close', this.#onClose)
    stream.addEventListener('end', this.#onEnd)
    stream.addEventListener('message', this.#onMessage)
    signal?.addEventListener('abort', this.#onAbort)
    if (signal?.aborted === true) this.#onAbort()
  }

  /** Undefined at the end. */
  async next(): Promise<Chunk | undefined> {
    for (;;) {
      if (this.#error !== undefined) throw this.#error
      const chunk = this.#chunks.shift()
      if (chunk !== undefined) {
        this.#bytes -= chunk.byteLength
        this.#resume()
        return chunk
      }
      if (this.#done) return undefined
      const { promise, resolve } = Promise.withResolvers<undefined>()
      this.#wake = () => resolve(undefined)
      await promise
    }
  }

  release(): void {
    this.#stream.removeEventListener('close', this.#onClose)
    this.#stream.removeEventListener('end', this.#onEnd)
    this.#stream.removeEventListener('message', this.#onMessage)
    this.#signal?.removeEventListener('abort', this.#onAbort)
    this.#chunks = []
  }

  #resume(): void {
    if (this.#bytes >= HIGH_WATER_BYTES / 2 || this.#stream.readStatus !== 'paused') return
    this.#resuming = true
    try {
      this.#stream.resume()
    } catch (error) {
      // A stream that has ended keeps what it holds readable, but cannot tell the other side of the window any more.
      if (this.#stream.status === 'open') throw error
    } finally {
      this.#resuming = false
    }
    this.#pauseWhenFull()
  }

  // Not within resume(): libp2p delivers first and opens the window afterwards, whatever a listener did in between.
  #pauseWhenFull(): void {
    if (this.#bytes < HIGH_WATER_BYTES || this.#resuming || this.#stream.readStatus !== 'readable') return
    this.#stream.pause()
  }

  readonly #onMessage = (event: StreamMessageEvent): void => {
    this.#chunks.push(event.data)
    this.#bytes += event.data.byteLength
    this.#pauseWhenFull()
    this.#wake()
  }

  readonly #onEnd = (): void => {
    this.#done = true
    this.#wake()
  }

  // Without an error this is only half of the end: bytes that libp2p holds back still come, and then 'end'.
  readonly #onClose = (event: StreamCloseEvent): void => {
    if (event.error === undefined) return
    this.#error = event.error
    this.#wake()
  }

  readonly #onAbort = (): void => {
    const reason = asError(this.#signal?.reason)
    this.#error = reason
    this.#stream.abort(reason)
    this.#wake()
  }
}
