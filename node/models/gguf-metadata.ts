import { ModelError } from './errors.js'
import { GGUF_VALUE_BYTES, GgufType } from './gguf-types.js'

/** One metadata value as it is encoded: kept so, because most are never looked at and all are written out again as they were. */
export interface GgufEntry {
  /** One of `GgufType`. */
  type: number
  /** The value's bytes, little endian, after the type number; lengths within have been checked. */
  bytes: Uint8Array
}

/** 64-bit integers beyond 2^53 are bigints. */
export type GgufScalar = number | bigint | boolean | string

export interface GgufArray {
  /** One of `GgufType`, of the items. */
  of: number
  length: number
  /** The items' bytes, one after another. */
  bytes: Uint8Array
}

/** Items of an array that is decoded: one for each layer, with much room. Longer ones, such as vocabularies, stay bytes. */
const MAX_DECODED_ITEMS = 65_536
/** Bytes of a text that is decoded: a licence may be long. */
const MAX_DECODED_BYTES = 2 ** 20

const text = new TextDecoder()

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)

const narrow = (value: bigint): number | bigint =>
  value >= Number.MIN_SAFE_INTEGER && value <= Number.MAX_SAFE_INTEGER ? Number(value) : value

/** A 64-bit length at `offset`; beyond 2^53 the result is inexact, but larger than any bound. */
export function readLength(view: DataView, offset: number): number {
  return view.getUint32(offset + 4, true) * 2 ** 32 + view.getUint32(offset, true)
}

const READERS: ReadonlyMap<number, (view: DataView, offset: number) => GgufScalar> = new Map<
  number,
  (view: DataView, offset: number) => GgufScalar
>([
  [GgufType.uint8, (view, at) => view.getUint8(at)],
  [GgufType.int8, (view, at) => view.getInt8(at)],
  [GgufType.uint16, (view, at) => view.getUint16(at, true)],
  [GgufType.int16, (view, at) => view.getInt16(at, true)],
  [GgufType.uint32, (view, at) => view.getUint32(at, true)],
  [GgufType.int32, (view, at) => view.getInt32(at, true)],
  [GgufType.float32, (view, at) => view.getFloat32(at, true)],
  [GgufType.bool, (view, at) => view.getUint8(at) !== 0],
  [GgufType.uint64, (view, at) => narrow(view.getBigUint64(at, true))],
  [GgufType.int64, (view, at) => narrow(view.getBigInt64(at, true))],
  [GgufType.float64, (view, at) => view.getFloat64(at, true)]
])

/** Splits an array's entry into its parts; undefined when the entry is something else. */
export function arrayOf({ type, bytes }: GgufEntry): GgufArray | undefined {
  if (type !== GgufType.array) return undefined
  const view = viewOf(bytes)
  return { of: view.getUint32(0, true), length: readLength(view, 4), bytes: bytes.subarray(12) }
}

/** Items `[start, end)` of an array, as an entry of its own. */
export function sliceArray(array: GgufArray, start: number, end: number): GgufEntry {
  const [from, to] = [offsetOfItem(array, start), offsetOfItem(array, end)]
  const bytes = new Uint8Array(12 + to - from)
  const view = viewOf(bytes)
  view.setUint32(0, array.of, true)
  view.setBigUint64(4, BigInt(end - start), true)
  bytes.set(array.bytes.subarray(from, to), 12)
  return { type: GgufType.array, bytes }
}

function offsetOfItem({ of, bytes }: GgufArray, index: number): number {
  const fixed = GGUF_VALUE_BYTES.get(of)
  if (fixed !== undefined) return index * fixed
  const view = viewOf(bytes)
  let offset = 0
  for (let i = 0; i < index; i++) offset += 8 + readLength(view, offset)
  return offset
}

function decodeItems({ of, length, bytes }: GgufArray): GgufScalar[] {
  const view = viewOf(bytes)
  const items: GgufScalar[] = []
  let offset = 0
  for (let i = 0; i < length; i++) {
    if (of === GgufType.string) {
      const size = readLength(view, offset)
      items.push(text.decode(bytes.subarray(offset + 8, offset + 8 + size)))
      offset += 8 + size
    } else {
      const value = READERS.get(of)?.(view, offset)
      if (value !== undefined) items.push(value)
      offset += GGUF_VALUE_BYTES.get(of) ?? 0
    }
  }
  return items
}

function decodeScalar({ type, bytes }: GgufEntry): GgufScalar | undefined {
  return type === GgufType.string ? text.decode(bytes.subarray(8)) : READERS.get(type)?.(viewOf(bytes), 0)
}

/** The metadata of a GGUF file, in the file's order, decoded when asked for. */
export class GgufMetadata {
  readonly entries: ReadonlyMap<string, GgufEntry>

  constructor(entries: ReadonlyMap<string, GgufEntry>) {
    this.entries = entries
  }

  has(key: string): boolean {
    return this.entries.has(key)
  }

  /** The decoded value; an array's items are decoded all at once. @throws ModelError ABSURD_SIZE */
  value(key: string): GgufScalar | GgufScalar[] | undefined {
    const entry = this.entries.get(key)
    if (!entry) return undefined
    const array = arrayOf(entry)
    if ((array?.length ?? 0) > MAX_DECODED_ITEMS || (!array && entry.bytes.byteLength > MAX_DECODED_BYTES)) {
      const size = array ? `${array.length} items` : `${entry.bytes.byteLength} bytes`
      throw new ModelError('ABSURD_SIZE', `the model's metadata ${JSON.stringify(key)} has ${size}`, { details: { key } })
    }
    return array ? decodeItems(array) : decodeScalar(entry)
  }

  /** Without decoding the items; undefined when the key is missing or no array. */
  arrayLength(key: string): number | undefined {
    const entry = this.entries.get(key)
    return entry && arrayOf(entry)?.length
  }

  /** @throws ModelError BAD_METADATA when the value is something else. */
  string(key: string): string | undefined {
    const value = this.scalar(key, 'text')
    return value === undefined || typeof value === 'string' ? value : this.refuse(key, 'text')
  }

  /** A whole number `>= 0` within 2^53. @throws ModelError BAD_METADATA when the value is something else. */
  count(key: string): number | undefined {
    const value = this.scalar(key, 'a whole number')
    if (value === undefined) return undefined
    return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
      ? value
      : this.refuse(key, 'a whole number')
  }

  /** One count, or one for each of something. @throws ModelError BAD_METADATA when the value is something else. */
  counts(key: string): number | number[] | undefined {
    if (this.arrayLength(key) === undefined) return this.count(key)
    const value = this.value(key)
    if (!Array.isArray(value)) return undefined
    return value.map(item =>
      typeof item === 'number' && Number.isSafeInteger(item) && item >= 0 ? item : this.refuse(key, 'whole numbers')
    )
  }

  /** Looks at the type first: the items of an array would all be decoded. */
  private scalar(key: string, expected: string): GgufScalar | GgufScalar[] | undefined {
    return this.arrayLength(key) === undefined ? this.value(key) : this.refuse(key, expected)
  }

  private refuse(key: string, expected: string): never {
    throw new ModelError('BAD_METADATA', `the model's metadata ${JSON.stringify(key)} should be ${expected}`, {
      details: { key }
    })
  }
}
