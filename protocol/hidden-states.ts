import { aligned } from './bytes.js'
import { malformed } from './checks.js'
import { MAX_ROWS, MAX_STAGE_FRAME_BYTES } from './limits.js'
import { ProtocolError } from './protocol-error.js'

/**
 * Hidden states on the wire: `[rows, width]`, row after row, little endian. Hosts are little endian too (every platform
 * that llama.cpp's prebuilt libraries run on), so typed arrays are views.
 */
export type Dtype = 'f32' | 'f16'

const ELEMENT_BYTES = { f32: 4, f16: 2 } as const

/** The exponents in a 32-bit word, their lowest bit and the bit above them, the latter two shifted right by one. */
const EXPONENTS = {
  f32: { mask: 0x7f800000, one: 0x00400000, carry: 0x40000000 },
  f16: { mask: 0x7c007c00, one: 0x02000200, carry: 0x40004000 }
} as const

/** Bytes of a step besides its payload, at the most: wanted ids, timings, and room to spare. */
const STEP_HEADER_BYTES = 65_536

/** Above this a float32 rounds to infinity in float16: bits of 65520. */
const F16_OVERFLOW = 0x477ff000
/** Bits of 2^-14, the smallest normal float16. */
const F16_NORMAL = 0x38800000
/** Bits of 2^-25, half of the smallest float16: up to here everything rounds to zero. */
const F16_ZERO = 0x33000000
/** Difference of the exponents' biases, 127 - 15, in place. */
const REBIAS = 112 << 23

/** Bytes of one element. */
export function bytesPerElement(dtype: Dtype): 2 | 4 {
  return ELEMENT_BYTES[dtype]
}

/** Bytes of `rows` hidden states of `width` elements. */
export function hiddenBytes(dtype: Dtype, rows: number, width: number): number {
  return rows * width * ELEMENT_BYTES[dtype]
}

/** The most rows of hidden states that fit into one frame next to everything else in a step. */
export function rowsPerFrame(dtype: Dtype, width: number): number {
  return Math.min(MAX_ROWS, Math.floor((MAX_STAGE_FRAME_BYTES - STEP_HEADER_BYTES) / hiddenBytes(dtype, 1, width)))
}

/**
 * The wire form of hidden states. float16 rounds to nearest, ties to even, subnormals included.
 *
 * @returns for f32 a view of `values`, for f16 new memory
 * @throws ProtocolError - NOT_FINITE for NaN, infinity and what float16 cannot hold
 */
export function encodeHidden(values: Float32Array, dtype: Dtype): Uint8Array {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length)
  if (dtype === 'f32') {
    const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength)
    checkFinite(bytes, 'f32')
    return bytes
  }
  const halves = new Uint16Array(bits.length)
  for (let i = 0; i < bits.length; i++) halves[i] = halfOf(bits[i] ?? 0)
  return new Uint8Array(halves.buffer)
}

/**
 * Hidden states from the wire.
 *
 * @returns `[rows, width]`; for f32 a view of `bytes` where it is aligned
 * @throws ProtocolError - MALFORMED when the length is not that of rows × width, NOT_FINITE
 */
export function decodeHidden(bytes: Uint8Array, dtype: Dtype, rows: number, width: number): Float32Array {
  if (bytes.byteLength !== hiddenBytes(dtype, rows, width)) {
    throw malformed(`${bytes.byteLength} bytes of hidden states for ${rows} rows of ${width} ${dtype} elements`)
  }
  checkFinite(bytes, dtype)
  const source = aligned(bytes, ELEMENT_BYTES[dtype])
  if (dtype === 'f32') return new Float32Array(source.buffer, source.byteOffset, rows * width)
  return floatsOf(new Uint16Array(source.buffer, source.byteOffset, rows * width))
}

/**
 * @throws ProtocolError - NOT_FINITE when an element is NaN or infinite
 */
export function checkFinite(bytes: Uint8Array, dtype: Dtype): void {
  const source = aligned(bytes, 4)
  const words = new Uint32Array(source.buffer, source.byteOffset, source.byteLength >>> 2)
  if (!finiteWords(words, EXPONENTS[dtype]) || (dtype === 'f16' && !finiteLastHalf(source))) {
    throw new ProtocolError('NOT_FINITE', 'hidden states hold NaN or infinity')
  }
}

/**
 * An exponent of all ones plus one carries into the bit above it. Halved, so that 31 bits are enough; two words a turn and
 * no branch, since every hidden state passes here.
 */
function finiteWords(words: Uint32Array, { mask, one, carry }: { mask: number; one: number; carry: number }): boolean {
  let sums = 0
  for (let i = 0; i < words.length; i += 2) {
    sums |= (((words[i] ?? 0) & mask) >>> 1) + one
    sums |= (((words[i + 1] ?? 0) & mask) >>> 1) + one
  }
  return (sums & carry) === 0
}

function finiteLastHalf(bytes: Uint8Array): boolean {
  if (bytes.byteLength % 4 < 2) return true
  return ((bytes.at(-1) ?? 0) & 0x7c) !== 0x7c
}

function halfOf(bits: number): number {
  const sign = (bits >>> 16) & 0x8000
  const magnitude = bits & 0x7fffffff
  if (magnitude >= F16_OVERFLOW) throw new ProtocolError('NOT_FINITE', 'a hidden state does not fit into float16')
  if (magnitude >= F16_NORMAL) return sign | roundShift(magnitude - REBIAS, 13)
  if (magnitude <= F16_ZERO) return sign
  return sign | roundShift((magnitude & 0x7fffff) | 0x800000, 126 - (magnitude >>> 23))
}

/** `value / 2^shift`, rounded to nearest, ties to even. */
function roundShift(value: number, shift: number): number {
  return (value + (1 << (shift - 1)) - 1 + ((value >>> shift) & 1)) >>> shift
}

function floatsOf(halves: Uint16Array): Float32Array {
  const values = new Float32Array(halves.length)
  const bits = new Uint32Array(values.buffer)
  for (let i = 0; i < halves.length; i++) {
    const half = halves[i] ?? 0
    const magnitude = half & 0x7fff
    if (magnitude >= 0x0400) bits[i] = ((half & 0x8000) << 16) | ((magnitude << 13) + REBIAS)
    else values[i] = (half & 0x8000 ? -magnitude : magnitude) * 2 ** -24
  }
  return values
}
