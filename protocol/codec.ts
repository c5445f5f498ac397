import protobuf from 'protobufjs/minimal.js'
import { tooLarge } from './checks.js'
import { MAX_MESSAGE_FIELDS } from './limits.js'
import { ProtocolError } from './protocol-error.js'

export interface MessageLimits {
  /** The most bytes of the encoded message. */
  bytes: number
  /** The most fields plus bytes of packed lists. */
  fields?: number
  /** The most occurrences of one tag (field number · 8 + wire type). */
  repeated?: { tag: number; most: number }
}

/**
 * Counts fields while it reads: two bytes are enough for an empty message, so without a bound a frame of 16 MiB could
 * become millions of objects. Unknown fields are skipped, not kept.
 */
class BoundedReader extends protobuf.Reader {
  #fields: number
  #repeated: number
  readonly #tag: number

  constructor(bytes: Uint8Array, { fields = MAX_MESSAGE_FIELDS, repeated }: MessageLimits) {
    super(bytes)
    this.discardUnknown = true
    this.#fields = fields
    this.#tag = repeated?.tag ?? 0
    this.#repeated = repeated?.most ?? 0
  }

  override tag(): number {
    this.#charge(1)
    const tag = super.tag()
    if (tag === this.#tag && --this.#repeated < 0) throw tooLarge(`field ${tag >>> 3} comes too often`)
    return tag
  }

  override uint32s(array?: number[]): number[] {
    const start = this.pos
    this.#charge(this.size())
    this.pos = start
    return super.uint32s(array)
  }

  #charge(fields: number): void {
    this.#fields -= fields
    if (this.#fields < 0) throw tooLarge('a message has too many fields')
  }
}

/**
 * Decodes a protobuf message within limits. Byte fields are views of `bytes`.
 *
 * @throws ProtocolError - TOO_LARGE, MALFORMED, or what `decode` throws
 */
export function decodeMessage<T>(
  what: string,
  bytes: Uint8Array,
  limits: MessageLimits,
  decode: (reader: protobuf.Reader) => T
): T {
  if (bytes.byteLength > limits.bytes) {
    throw tooLarge(`a ${what} of ${bytes.byteLength} bytes, the most are ${limits.bytes}`)
  }
  try {
    return decode(new BoundedReader(bytes, limits))
  } catch (cause) {
    if (cause instanceof ProtocolError) throw cause
    throw new ProtocolError('MALFORMED', `a ${what} does not decode`, { cause })
  }
}

/** The bytes that a generated encoder wrote, refused above `maxBytes`. */
export function finishMessage(what: string, writer: protobuf.Writer, maxBytes: number): Uint8Array {
  const bytes = writer.finish()
  if (bytes.byteLength > maxBytes) throw tooLarge(`a ${what} of ${bytes.byteLength} bytes, the most are ${maxBytes}`)
  return bytes
}
