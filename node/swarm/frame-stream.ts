import type { Stream, StreamCloseEvent, StreamMessageEvent } from '@libp2p/interface'
import { Uint8ArrayList } from 'uint8arraylist'
import { asError } from '../../protocol/errors.js'
import { SwarmError } from './errors.js'
import { FrameDecoder, frameTooLarge } from './frame-decoder.js'

/** Below this many bytes copying the payload behind its length is cheaper than handing on a list of two. */
const COPY_BELOW_BYTES = 2048
/** A frame that has begun must be whole within this, or at the latest twice this: the largest at 2.2 Mbit/s. */
export const FRAME_MILLISECONDS = 60_000

/** Bytes that streams have carried, frames with their lengths; several streams may count into one. */
export interface Traffic {
  received: number
  sent: number
}

export interface FrameStreamOptions {
  /** Larger frames are refused in both directions. */
  maxFrameBytes: number
  /** The same for the first one that comes, if that is less. */
  maxFirstFrameBytes?: number
  /** The other side's time for a frame that has begun, while this side does not pause; `FRAME_MILLISECONDS` by default. */
  frameMilliseconds?: number
  /** Where it counts its bytes. */
  traffic?: Traffic | undefined
  /** One frame, in order. The bytes may be kept. A throw aborts the stream. */
  onFrame: (frame: Uint8Array) => void
  /** The other side has half-closed after a whole frame; sending may go on. */
  onEnd?: () => void
  /** Called once, like `closed`, but at once and not in a later microtask. */
  onClose?: (error: Error | undefined) => void
}

/**
 * Length-prefixed frames straight on a libp2p stream's `message` events: the way of the hidden states. It owns the
 * stream's reading side for its whole life. Between `pause()` and `resume()` no frame is delivered and the other side's
 * `send` soon returns false.
 */
export class FrameStream {
  readonly stream: Stream
  /** Resolves exactly once, when both directions are finished (undefined) or the stream was aborted or reset. */
  readonly closed: Promise<Error | undefined>
  readonly #options: FrameStreamOptions
  readonly #decoder: FrameDecoder
  readonly #traffic: Traffic
  readonly #resolveClosed: (error: Error | undefined) => void
  /** What arrived in the message during which the reader paused; at most one message, plus what libp2p held back. */
  #held: Uint8Array[] = []
  #paused = false
  #delivering = false
  #resuming = false
  #remoteEnded = false
  #endReported = false
  #streamClosed = false
  #settled = false
  /** Frames that came, and pauses that ended: what it was when the timer started tells whether anything moved since. */
  #progress = 0
  /** Runs only once a message has ended within a frame; whole frames neither start nor stop it. */
  #slow: NodeJS.Timeout | undefined

  constructor(stream: Stream, options: FrameStreamOptions) {
    this.stream = stream
    this.#options = options
    this.#decoder = new FrameDecoder(options.maxFrameBytes, options.maxFirstFrameBytes)
    this.#traffic = options.traffic ?? { received: 0, sent: 0 }
    const { promise, resolve } = Promise.withResolvers<Error | undefined>()
    this.closed = promise
    this.#resolveClosed = resolve
  }

  /** Starts to listen; `frames()` does it. */
  start(): this {
    const { stream } = this
    if (stream.status === 'aborted' || stream.status === 'reset') {
      queueMicrotask(() => this.#settle(closedError(stream)))
      return this
    }
    stream.addEventListener('close', this.#onClose)
    stream.addEventListener('end', this.#onEnd)
    stream.addEventListener('message', this.#onMessage)
    if (stream.readableEnded) queueMicrotask(this.#onEnd)
    if (stream.status === 'closed') queueMicrotask(() => this.#onClose())
    return this
  }

  get paused(): boolean {
    return this.#paused
  }

  /** True while the stream takes no more without buffering: wait for `drained()`. */
  get needsDrain(): boolean {
    return this.stream.writableNeedsDrain
  }

  /**
   * Sends one frame. False: it was taken, but wait for `drained()` before the next one. The bytes must not change
   * afterwards: they are not copied.
   * @throws SwarmError FRAME_TOO_LARGE, STREAM_CLOSED
   */
  send(bytes: Uint8Array): boolean {
    if (bytes.byteLength > this.#options.maxFrameBytes) {
      throw frameTooLarge(bytes.byteLength, this.#options.maxFrameBytes)
    }
    if (this.stream.writeStatus !== 'writable') throw closedError(this.stream)
    const framed = frame(bytes)
    this.#traffic.sent += framed.byteLength
    return this.stream.send(framed)
  }

  /** @throws SwarmError STREAM_CLOSED; the signal's reason. */
  drained(signal?: AbortSignal): Promise<void> {
    return drained(this.stream, signal)
  }

  /** Takes effect at once, also from within `onFrame`. */
  pause(): void {
    if (this.#paused) return
    this.#paused = true
    // Within resume() libp2p would forget this pause (it resumes the window after it delivers): resume() repeats it.
    if (!this.#resuming && this.stream.readStatus === 'readable') this.stream.pause()
  }

  resume(): void {
    if (!this.#paused) return
    this.#paused = false
    this.#progress += 1
    this.#deliverHeld()
    // onFrame may have paused again.
    if (this.#isPaused() || this.stream.readStatus !== 'paused') return
    this.#resuming = true
    try {
      this.stream.resume()
    } catch (error) {
      // A stream that has ended keeps what it holds readable, but cannot tell the other side of the window any more.
      if (!this.#streamClosed) this.abort(asError(error))
    } finally {
      this.#resuming = false
    }
    if (this.#isPaused() && this.#isReadable()) this.stream.pause()
  }

  /** Half-close: everything sent goes out, then the other side sees the end. */
  async close(options: { signal?: AbortSignal } = {}): Promise<void> {
    await this.stream.close(options)
  }

  /** Both directions end now; the other side sees a reset. Unsent and undelivered frames are dropped. */
  abort(error: Error): void {
    this.#held = []
    this.stream.abort(error)
    this.#settle(error)
  }

  // Read through a method where a callback in between may have changed it: the compiler would narrow the field.
  #isPaused(): boolean {
    return this.#paused
  }

  #isReadable(): boolean {
    return this.stream.readStatus === 'readable'
  }

  readonly #onMessage = (event: StreamMessageEvent): void => {
    const { data } = event
    this.#traffic.received += data.byteLength
    if (data instanceof Uint8Array) this.#held.push(data)
    else this.#held.push(...data)
    this.#deliverHeld()
  }

  #deliverHeld(): void {
    // A frame handler that resumes must not deliver a later chunk before the rest of this one.
    if (this.#delivering) return
    this.#delivering = true
    try {
      while (!this.#paused && !this.#settled) {
        const chunk = this.#held.shift()
        if (chunk === undefined) break
        this.#deliver(chunk)
      }
    } catch (error) {
      this.abort(asError(error))
    } finally {
      this.#delivering = false
    }
    if (!this.#decoder.idle && this.#slow === undefined && !this.#settled) this.#awaitRest()
    this.#finish()
  }

  #deliver(chunk: Uint8Array): void {
    let offset = 0
    while (offset < chunk.byteLength && !this.#settled) {
      if (this.#paused) {
        this.#held.unshift(chunk.subarray(offset))
        return
      }
      const read = this.#decoder.read(chunk, offset)
      offset = read.offset
      if (read.frame === undefined) continue
      this.#progress += 1
      this.#options.onFrame(read.frame)
    }
  }

  /** One coarse timer a stream instead of one a frame: where frames came meanwhile, it starts again. */
  #awaitRest(): void {
    const { frameMilliseconds = FRAME_MILLISECONDS } = this.#options
    const progress = this.#progress
    this.#slow = setTimeout(() => {
      this.#slow = undefined
      if (this.#decoder.idle || this.#settled) return
      if (this.#progress !== progress || this.#paused) {
        this.#awaitRest()
        return
      }
      const message = `a frame was not whole ${frameMilliseconds} ms after it began`
      this.abort(new SwarmError('FRAME_TOO_SLOW', message, { details: { milliseconds: frameMilliseconds } }))
    }, frameMilliseconds)
    this.#slow.unref()
  }

  readonly #onEnd = (): void => {
    this.#remoteEnded = true
    this.#finish()
  }

  readonly #onClose = (event?: StreamCloseEvent): void => {
    this.#streamClosed = true
    if (event?.error !== undefined) this.#settle(event.error)
    else this.#finish()
  }

  /** Reports the end and the close once nothing is left to deliver. */
  #finish(): void {
    if (this.#settled || !this.#remoteEnded || this.#held.length > 0 || this.#delivering) return
    // A reset ends it too, and its own event says more.
    if (this.stream.status === 'reset' || this.stream.status === 'aborted') return
    if (!this.#decoder.idle) {
      this.abort(new SwarmError('FRAME_TRUNCATED', 'the other side ended the stream in the middle of a frame'))
      return
    }
    this.#reportEnd()
    if (this.#streamClosed) this.#settle(undefined)
  }

  #reportEnd(): void {
    if (this.#endReported) return
    this.#endReported = true
    try {
      this.#options.onEnd?.()
    } catch (error) {
      this.abort(asError(error))
    }
  }

  #settle(error: Error | undefined): void {
    if (this.#settled) return
    this.#settled = true
    clearTimeout(this.#slow)
    this.stream.removeEventListener('close', this.#onClose)
    this.stream.removeEventListener('end', this.#onEnd)
    this.stream.removeEventListener('message', this.#onMessage)
    this.#held = []
    this.#resolveClosed(error)
    this.#options.onClose?.(error)
  }
}

/** Takes over the stream and starts to deliver frames. */
export function frames(stream: Stream, options: FrameStreamOptions): FrameStream {
  return new FrameStream(stream, options).start()
}

/**
 * Resolves when the stream takes bytes again without buffering them.
 * (`stream.onDrain()` of @libp2p/utils 7.4 waits only the first time.)
 * @throws SwarmError STREAM_CLOSED; the stream's error; the signal's reason.
 */
export async function drained(stream: Stream, signal?: AbortSignal): Promise<void> {
  signal?.throwIfAborted()
  while (stream.writableNeedsDrain) {
    if (stream.writeStatus === 'closed') throw closedError(stream)
    await nextDrain(stream, signal)
  }
}

/** libp2p's own `drain` listener sends on in a microtask, after which the stream may be full again: hence the loop above. */
async function nextDrain(stream: Stream, signal?: AbortSignal): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<undefined>()
  const onDrain = (): void => resolve(undefined)
  const onClose = (event: StreamCloseEvent): void => reject(event.error ?? closedError(stream))
  const onAbort = (): void => reject(asError(signal?.reason))
  stream.addEventListener('drain', onDrain)
  stream.addEventListener('close', onClose)
  signal?.addEventListener('abort', onAbort)
  try {
    await promise
  } finally {
    stream.removeEventListener('drain', onDrain)
    stream.removeEventListener('close', onClose)
    signal?.removeEventListener('abort', onAbort)
  }
}

function frame(bytes: Uint8Array): Uint8Array | Uint8ArrayList {
  const prefix = lengthPrefix(bytes.byteLength)
  if (bytes.byteLength >= COPY_BELOW_BYTES) return new Uint8ArrayList(prefix, bytes)
  const joined = new Uint8Array(prefix.byteLength + bytes.byteLength)
  joined.set(prefix)
  joined.set(bytes, prefix.byteLength)
  return joined
}

/** Unsigned varint (LEB128). */
function lengthPrefix(length: number): Uint8Array {
  const bytes: number[] = []
  while (length >= 0x80) {
    bytes.push((length % 0x80) + 0x80)
    length = Math.floor(length / 0x80)
  }
  bytes.push(length)
  return Uint8Array.from(bytes)
}

export function closedError(stream: Stream): SwarmError {
  return new SwarmError('STREAM_CLOSED', `the stream is ${stream.status} (${stream.protocol})`, {
    details: { protocol: stream.protocol, status: stream.status }
  })
}
