import { SwarmError } from './errors.js'

/** A length of up to 2^35 - 1 fits; longer prefixes are padding or an attack. */
const MAX_LENGTH_BYTES = 5
/** A frame that arrives in parts starts with a buffer of at most this many bytes: memory follows what was received, not what was promised. */
const FIRST_BUFFER_BYTES = 256 * 1024

const EMPTY = new Uint8Array(0)

/**
 * Cuts bytes into frames: unsigned varint (LEB128) length, then that many bytes. Pure and synchronous.
 * A frame that lies whole within a chunk is a view of it; one that spans chunks is copied once.
 */
export class FrameDecoder {
  #maxFrameBytes: number
  readonly #maxLaterFrameBytes: number
  #length = 0
  #lengthBytes = 0
  #readingLength = true
  #buffer = EMPTY
  #filled = 0

  /** @param maxFirstFrameBytes - of the first frame, where that one is small: before it nobody knows who is asking */
  constructor(maxFrameBytes: number, maxFirstFrameBytes = maxFrameBytes) {
    this.#maxFrameBytes = maxFirstFrameBytes
    this.#maxLaterFrameBytes = maxFrameBytes
  }

  /** True between frames: the other side may end here. */
  get idle(): boolean {
    return this.#readingLength && this.#lengthBytes === 0
  }

  /**
   * Reads from `chunk` at `offset` until a frame is whole or the chunk is used up.
   * @throws SwarmError FRAME_TOO_LARGE or FRAME_INVALID; the decoder is of no use afterwards.
   */
  read(chunk: Uint8Array, offset: number): { offset: number; frame: Uint8Array | undefined } {
    while (this.#readingLength) {
      const byte = chunk[offset]
      if (byte === undefined) return { offset, frame: undefined }
      offset += 1
      this.#readLengthByte(byte)
    }
    const missing = this.#length - this.#filled
    const available = chunk.byteLength - offset
    if (this.#filled === 0 && available >= missing) {
      return { offset: offset + missing, frame: this.#finish(view(chunk, offset, missing)) }
    }
    const end = offset + Math.min(missing, available)
    this.#append(chunk.subarray(offset, end))
    const whole = this.#filled === this.#length
    return { offset: end, frame: whole ? this.#finish(this.#buffer.subarray(0, this.#length)) : undefined }
  }

  #readLengthByte(byte: number): void {
    // Not a shift: lengths above 2^31 must not wrap around.
    this.#length += (byte & 0x7f) * 2 ** (7 * this.#lengthBytes)
    this.#lengthBytes += 1
    this.#readingLength = byte >= 0x80
    if (this.#readingLength && this.#lengthBytes === MAX_LENGTH_BYTES) {
      throw new SwarmError('FRAME_INVALID', `a frame's length prefix is longer than ${MAX_LENGTH_BYTES} bytes`)
    }
    if (this.#length > this.#maxFrameBytes) throw frameTooLarge(this.#length, this.#maxFrameBytes)
  }

  #append(part: Uint8Array): void {
    const needed = this.#filled + part.byteLength
    if (needed > this.#buffer.byteLength) {
      const size = Math.min(this.#length, Math.max(needed, FIRST_BUFFER_BYTES, 2 * this.#buffer.byteLength))
      const larger = new Uint8Array(size)
      larger.set(this.#buffer.subarray(0, this.#filled))
      this.#buffer = larger
    }
    this.#buffer.set(part, this.#filled)
    this.#filled = needed
  }

  #finish(frame: Uint8Array): Uint8Array {
    this.#maxFrameBytes = this.#maxLaterFrameBytes
    this.#length = 0
    this.#lengthBytes = 0
    this.#readingLength = true
    this.#buffer = EMPTY
    this.#filled = 0
    return frame
  }
}

/** Never a Buffer, whose `slice` would share memory. */
function view(chunk: Uint8Array, offset: number, length: number): Uint8Array {
  return new Uint8Array(chunk.buffer, chunk.byteOffset + offset, length)
}

export function frameTooLarge(bytes: number, maxFrameBytes: number): SwarmError {
  return new SwarmError(
    'FRAME_TOO_LARGE',
    `a frame of ${bytes} bytes is larger than the limit of ${maxFrameBytes} bytes`,
    {
      details: { bytes, maxFrameBytes }
    }
  )
}
