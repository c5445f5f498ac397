import { MAX_HEADER_BYTES } from '../../protocol/limits.js'
import { ModelError } from './errors.js'
import { type GgufEntry, readLength } from './gguf-metadata.js'
import { GGUF_VALUE_BYTES, GgufType } from './gguf-types.js'

/** Bytes of one string in the metadata: chat templates have some KiB. */
const MAX_STRING_BYTES = 64 * 2 ** 20

/** The header goes on after the bytes at hand: read at least so many from the start of the file and parse again. */
export class NeedMoreBytes extends Error {
  override name = 'NeedMoreBytes'
  readonly bytes: number

  constructor(bytes: number) {
    super(`the header needs ${bytes} bytes`)
    this.bytes = bytes
  }
}

/** Reads a header forwards; every step is checked against the file's size and the header's bound first. */
export class Cursor {
  offset = 0
  readonly fileSize: number
  private readonly bytes: Uint8Array
  private readonly view: DataView
  private readonly text = new TextDecoder('utf-8', { fatal: true })

  constructor(bytes: Uint8Array, fileSize: number) {
    this.bytes = bytes
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.fileSize = fileSize
  }

  uint32(what: string): number {
    return this.view.getUint32(this.skip(4, what), true)
  }

  /** A 64-bit number that must be exact. */
  uint64(what: string): number {
    const value = readLength(this.view, this.skip(8, what))
    if (Number.isSafeInteger(value)) return value
    throw this.absurd(`${what}: a number above 2^53`)
  }

  /** How many of something follow. */
  count(what: string, limit: number): number {
    const value = readLength(this.view, this.skip(8, `number of ${what}`))
    if (value <= limit) return value
    throw this.absurd(`the header claims ${value} ${what}, allowed are ${limit}`)
  }

  /** A key or a tensor's name. */
  name(what: string, limit: number): string {
    const length = readLength(this.view, this.skip(8, what))
    if (length === 0 || length > limit) throw this.absurd(`${what} has ${length} bytes, allowed are 1 to ${limit}`)
    const start = this.skip(length, what)
    try {
      return this.text.decode(this.bytes.subarray(start, this.offset))
    } catch (cause) {
      throw new ModelError('MALFORMED', `${what} is not valid UTF-8 text, at byte ${start}`, { cause })
    }
  }

  /** The type and the encoded value of metadata `key`. */
  entry(key: string): GgufEntry {
    const what = `metadata ${JSON.stringify(key)}`
    const type = this.uint32(what)
    const start = this.offset
    if (type === GgufType.array) this.skipArray(what)
    else this.skipItems({ type, count: 1, what })
    return { type, bytes: this.bytes.subarray(start, this.offset) }
  }

  private skipArray(what: string): void {
    const type = this.uint32(what)
    const count = readLength(this.view, this.skip(8, what))
    // llama.cpp reads no arrays of arrays either.
    this.skipItems({ type, count, what })
  }

  private skipItems({ type, count, what }: { type: number; count: number; what: string }): void {
    const fixed = GGUF_VALUE_BYTES.get(type)
    if (fixed !== undefined) {
      this.skip(count * fixed, what)
    } else if (type === GgufType.string) {
      this.checkRemaining(count * 8, what)
      this.skipStrings(count, what)
    } else {
      throw new ModelError('UNSUPPORTED_TYPE', `${what} has value type ${type}, at byte ${this.offset}`)
    }
  }

  /** Vocabularies have some 100 000: the short way for strings that are at hand. */
  private skipStrings(count: number, what: string): void {
    const { view } = this
    const end = this.bytes.length
    for (let i = 0; i < count; i++) {
      const start = this.offset + 8
      const length = start <= end ? readLength(view, this.offset) : Infinity
      if (length <= MAX_STRING_BYTES && start + length <= end) this.offset = start + length
      else this.skipString(what)
    }
  }

  private skipString(what: string): void {
    const length = readLength(this.view, this.skip(8, what))
    if (length > MAX_STRING_BYTES) throw this.absurd(`${what} has a string of ${length} bytes`)
    this.skip(length, what)
  }

  /** Moves on over `bytes` that must be there; returns where they start. */
  private skip(bytes: number, what: string): number {
    const start = this.offset
    const end = start + bytes
    if (end > this.bytes.length) {
      this.checkRemaining(bytes, what)
      throw new NeedMoreBytes(end)
    }
    this.offset = end
    return start
  }

  private checkRemaining(bytes: number, what: string): void {
    if (bytes > Number.MAX_SAFE_INTEGER) throw this.absurd(`${what} would take more than 2^53 bytes`)
    if (bytes > this.fileSize - this.offset) {
      const left = this.fileSize - this.offset
      const message = `${what} needs ${bytes} bytes at byte ${this.offset}, but the file ends after ${left} more`
      throw new ModelError('TRUNCATED', message)
    }
    if (this.offset + bytes > MAX_HEADER_BYTES) throw this.absurd(`${what} makes the header larger than 256 MiB`)
  }

  private absurd(message: string): ModelError {
    return new ModelError('ABSURD_SIZE', `${message}, at byte ${this.offset}`)
  }
}
