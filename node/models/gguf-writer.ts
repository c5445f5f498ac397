import type { GgufEntry } from './gguf-metadata.js'
import { alignUp, GGUF_VALUE_BYTES, GgufType, tensorBytes, type TensorShape } from './gguf-types.js'

const utf8 = new TextEncoder()

/** Numbers of any fixed-size type; 64-bit ones may be bigints. */
function numberBytes(type: number, value: number | bigint): Uint8Array {
  const bytes = new Uint8Array(GGUF_VALUE_BYTES.get(type) ?? 0)
  const view = new DataView(bytes.buffer)
  const number = Number(value)
  const setters: Partial<Record<number, () => void>> = {
    [GgufType.uint8]: () => view.setUint8(0, number),
    [GgufType.int8]: () => view.setInt8(0, number),
    [GgufType.uint16]: () => view.setUint16(0, number, true),
    [GgufType.int16]: () => view.setInt16(0, number, true),
    [GgufType.uint32]: () => view.setUint32(0, number, true),
    [GgufType.int32]: () => view.setInt32(0, number, true),
    [GgufType.float32]: () => view.setFloat32(0, number, true),
    [GgufType.bool]: () => view.setUint8(0, number),
    [GgufType.uint64]: () => view.setBigUint64(0, BigInt(value), true),
    [GgufType.int64]: () => view.setBigInt64(0, BigInt(value), true),
    [GgufType.float64]: () => view.setFloat64(0, number, true)
  }
  setters[type]?.()
  return bytes
}

function stringBytes(value: string): Uint8Array {
  const encoded = utf8.encode(value)
  return concatenate([numberBytes(GgufType.uint64, encoded.length), encoded])
}

function concatenate(parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts))
}

/** A number (or a boolean as 0 or 1) of one of the fixed-size `GgufType`s. */
export function numberEntry(type: number, value: number | bigint): GgufEntry {
  return { type, bytes: numberBytes(type, value) }
}

export function stringEntry(value: string): GgufEntry {
  return { type: GgufType.string, bytes: stringBytes(value) }
}

/** An array of strings (`of: GgufType.string`) or of numbers of a fixed-size type. */
export function arrayEntry(of: number, items: readonly (number | bigint | string)[]): GgufEntry {
  const encoded = items.map(item => (typeof item === 'string' ? stringBytes(item) : numberBytes(of, item)))
  const head = [numberBytes(GgufType.uint32, of), numberBytes(GgufType.uint64, items.length)]
  return { type: GgufType.array, bytes: concatenate([...head, ...encoded]) }
}

/** The header of a GGUF file and where the data of each tensor goes. */
export interface GgufLayout {
  /** Everything before the data section, padded. */
  header: Uint8Array
  /** Of each tensor's data, bytes from the start of the file. */
  offsets: number[]
  /** Bytes of the whole file. */
  fileBytes: number
}

/** Lays out a GGUF version 3 file; the same input always gives the same bytes. */
export function layOutGguf(
  entries: ReadonlyMap<string, GgufEntry>,
  tensors: readonly TensorShape[],
  alignment: number
): GgufLayout {
  const count = (value: number): Uint8Array => numberBytes(GgufType.uint64, value)
  const parts = [utf8.encode('GGUF'), numberBytes(GgufType.uint32, 3), count(tensors.length), count(entries.size)]
  for (const [key, { type, bytes }] of entries) {
    parts.push(stringBytes(key), numberBytes(GgufType.uint32, type), bytes)
  }
  const relative: number[] = []
  let dataBytes = 0
  for (const tensor of tensors) {
    parts.push(tensorInfo(tensor, dataBytes))
    relative.push(dataBytes)
    dataBytes += alignUp(tensorBytes(tensor), alignment)
  }
  const length = parts.reduce((sum, part) => sum + part.length, 0)
  const padding = new Uint8Array(alignUp(length, alignment) - length)
  const header = concatenate([...parts, padding])
  return { header, offsets: relative.map(offset => header.length + offset), fileBytes: header.length + dataBytes }
}

function tensorInfo({ name, dims, type }: TensorShape, offset: number): Uint8Array {
  return concatenate([
    stringBytes(name),
    numberBytes(GgufType.uint32, dims.length),
    ...dims.map(dim => numberBytes(GgufType.uint64, dim)),
    numberBytes(GgufType.uint32, type),
    numberBytes(GgufType.uint64, offset)
  ])
}
