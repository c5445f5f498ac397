/** Writes GGUF v3 files for tests, independent of the product's own writer. */

/** A metadata value with its GGUF type. */
export type GgufValue =
  | { type: 'u32' | 'i32' | 'f32'; value: number }
  | { type: 'bool'; value: boolean }
  | { type: 'string'; value: string }
  | { type: 'strings'; value: readonly string[] }
  | { type: 'i32s' | 'f32s'; value: readonly number[] }

export interface GgufTensor {
  name: string
  /** Fastest dimension first, as in the file. */
  dims: readonly number[]
  type: 'f32' | 'q8_0'
  values: Float32Array
}

const ALIGNMENT = 32
const VALUE_TYPE = { u32: 4, i32: 5, f32: 6, bool: 7, string: 8, array: 9 } as const
const TENSOR_TYPE = { f32: 0, q8_0: 8 } as const
const Q8_BLOCK = 32

export function ggufBytes(metadata: ReadonlyMap<string, GgufValue>, tensors: readonly GgufTensor[]): Buffer {
  const datas = tensors.map(tensorData)
  const parts: Buffer[] = [Buffer.from('GGUF'), u32(3), u64(tensors.length), u64(metadata.size)]
  for (const [key, value] of metadata) parts.push(text(key), ...valueParts(value))
  let offset = 0
  tensors.forEach((tensor, i) => {
    parts.push(text(tensor.name), u32(tensor.dims.length), ...tensor.dims.map(u64))
    parts.push(u32(TENSOR_TYPE[tensor.type]), u64(offset))
    offset += aligned(datas[i]?.length ?? 0)
  })
  const header = Buffer.concat(parts)
  return Buffer.concat([padded(header), ...datas.map(padded)])
}

function valueParts(entry: GgufValue): Buffer[] {
  switch (entry.type) {
    case 'u32':
      return [u32(VALUE_TYPE.u32), u32(entry.value)]
    case 'i32':
      return [u32(VALUE_TYPE.i32), i32(entry.value)]
    case 'f32':
      return [u32(VALUE_TYPE.f32), f32(entry.value)]
    case 'bool':
      return [u32(VALUE_TYPE.bool), Buffer.from([Number(entry.value)])]
    case 'string':
      return [u32(VALUE_TYPE.string), text(entry.value)]
    case 'strings':
      return [...arrayHead(VALUE_TYPE.string, entry.value.length), ...entry.value.map(text)]
    case 'i32s':
      return [...arrayHead(VALUE_TYPE.i32, entry.value.length), ...entry.value.map(i32)]
    case 'f32s':
      return [...arrayHead(VALUE_TYPE.f32, entry.value.length), ...entry.value.map(f32)]
  }
}

function arrayHead(type: number, length: number): Buffer[] {
  return [u32(VALUE_TYPE.array), u32(type), u64(length)]
}

function tensorData({ type, values }: GgufTensor): Buffer {
  return type === 'q8_0' ? quantized(values) : Buffer.from(values.buffer, values.byteOffset, values.byteLength)
}

/** Q8_0: blocks of 32 values, each a float16 scale and 32 signed bytes. */
function quantized(values: Float32Array): Buffer {
  const blocks = values.length / Q8_BLOCK
  const out = Buffer.alloc(blocks * (2 + Q8_BLOCK))
  for (let b = 0; b < blocks; b++) {
    const block = values.subarray(b * Q8_BLOCK, (b + 1) * Q8_BLOCK)
    const scale = block.reduce((most, x) => Math.max(most, Math.abs(x)), 0) / 127
    const at = b * (2 + Q8_BLOCK)
    out.writeUInt16LE(float16(scale), at)
    block.forEach((x, i) => out.writeInt8(scale === 0 ? 0 : Math.round(x / scale), at + 2 + i))
  }
  return out
}

/** Bits of a positive, normal float16 (what a scale is), rounded towards zero. */
function float16(x: number): number {
  if (x < 2 ** -14) return 0
  const exponent = Math.floor(Math.log2(x))
  return ((exponent + 15) << 10) | Math.floor((x / 2 ** exponent - 1) * 1024)
}

function aligned(length: number): number {
  return Math.ceil(length / ALIGNMENT) * ALIGNMENT
}

function padded(bytes: Buffer): Buffer {
  return Buffer.concat([bytes], aligned(bytes.length))
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value)
  return Buffer.concat([u64(bytes.length), bytes])
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return bytes
}

function i32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32LE(value)
  return bytes
}

function f32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeFloatLE(value)
  return bytes
}

function u64(value: number): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64LE(BigInt(value))
  return bytes
}
