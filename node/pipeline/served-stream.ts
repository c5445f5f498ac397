import type { Stream } from '@libp2p/interface'
import { asError } from '../../protocol/errors.js'
import { MAX_OPEN_FRAME_BYTES } from '../../protocol/limits.js'
import { ProtocolError, type FaultName } from '../../protocol/protocol-error.js'
import type { Fault } from '../../protocol/stage.js'
import { abortable, deadline } from '../deadline.js'
import { reasonOf } from '../swarm/stream-reasons.js'
import type { Reason } from '../trust/reasons.js'
import { frames, type FrameStream, type Traffic } from '../swarm/wire.js'
import { sendBounded } from './bounded-send.js'
import { CLOSE_MS, FIRST_FRAME_MS } from './constants.js'

/** Broken framing ends the stream below this layer: nobody can be told any more, but it counts, and a session ends with this. */
const STATUS_OF: Partial<Record<Reason, FaultName>> = {
  TOO_LARGE: 'TOO_LARGE',
  SLOW_WRITER: 'TIMEOUT',
  SLOW_READER: 'TIMEOUT'
}

export interface ServedStreamOptions {
  maxFrameBytes: number
  /** See `FrameStream`. */
  frameMilliseconds?: number
  traffic?: Traffic | undefined
  /** Do all streams of this peer together let too many bytes wait? */
  letsTooMuchWait?: () => boolean
  /** One frame. What it throws is told to the other side and ends the stream. */
  receive: (frame: Uint8Array) => void
  encodeFault: (fault: Fault) => Uint8Array
  /** Why the stream is about to end, where the other side broke the protocol, and as what that counts. */
  onRefused: (fault: ProtocolError, reason: Reason) => void
  /** Called once: nothing is received any more. */
  onOver: () => void
}

/**
 * The serving end of a session's stream: the first frame must come in time, the first fault is told and is the last word,
 * and whatever comes after the end is not looked at.
 */
export class ServedStream {
  readonly #options: ServedStreamOptions
  readonly #channel: FrameStream
  readonly #firstFrame: NodeJS.Timeout
  #over = false

  constructor(stream: Stream, options: ServedStreamOptions) {
    this.#options = options
    this.#firstFrame = setTimeout(
      () => this.#refuse(new ProtocolError('TIMEOUT', `nothing came within ${FIRST_FRAME_MS} ms`)),
      FIRST_FRAME_MS
    )
    this.#channel = frames(stream, {
      maxFrameBytes: options.maxFrameBytes,
      maxFirstFrameBytes: MAX_OPEN_FRAME_BYTES,
      ...(options.frameMilliseconds !== undefined && { frameMilliseconds: options.frameMilliseconds }),
      traffic: options.traffic,
      onFrame: frame => this.#receive(frame),
      onEnd: () => this.finish(),
      onClose: error => this.#closed(error)
    })
  }

  /** Resolves when both directions are finished. */
  get closed(): Promise<unknown> {
    return this.#channel.closed
  }

  /** The other side may be gone already; then there is nobody left to tell. */
  send(bytes: Uint8Array): void {
    if (this.#channel.stream.writeStatus !== 'writable') return
    sendBounded(this.#channel, bytes, this.#options.letsTooMuchWait)
  }

  /** Sends what is still to be sent, then ends. */
  finish(): void {
    if (!this.#end()) return
    void closeSoon(this.#channel)
  }

  #receive(frame: Uint8Array): void {
    if (this.#over) return
    clearTimeout(this.#firstFrame)
    try {
      this.#options.receive(frame)
    } catch (caught) {
      const error = asError(caught)
      this.#refuse(
        error instanceof ProtocolError ? error : new ProtocolError('INTERNAL', error.message, { cause: error })
      )
    }
  }

  #refuse(fault: ProtocolError): void {
    this.send(this.#options.encodeFault({ code: fault.code, message: fault.message }))
    this.#options.onRefused(fault, fault.code)
    this.finish()
  }

  #closed(error: Error | undefined): void {
    const reason = reasonOf(error)
    if (error !== undefined && reason !== undefined && !this.#over) {
      this.#options.onRefused(new ProtocolError(STATUS_OF[reason] ?? 'MALFORMED', error.message), reason)
    }
    this.#end()
  }

  #end(): boolean {
    if (this.#over) return false
    this.#over = true
    clearTimeout(this.#firstFrame)
    this.#options.onOver()
    return true
  }
}

/** Waits a little for the other side to close too. */
async function closeSoon(channel: FrameStream): Promise<void> {
  using limit = deadline('closing a stream', CLOSE_MS)
  try {
    await channel.close({ signal: limit.signal })
    await abortable(channel.closed, limit.signal)
  } catch (error) {
    channel.abort(asError(error))
  }
}
