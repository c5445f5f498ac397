import { ModelError } from './errors.js'

/** Numbers of metadata value types (GGUF specification, `gguf_metadata_value_type`). */
export const GgufType = {
  uint8: 0,
  int8: 1,
  uint16: 2,
  int16: 3,
  uint32: 4,
  int32: 5,
  float32: 6,
  bool: 7,
  string: 8,
  array: 9,
  uint64: 10,
  int64: 11,
  float64: 12
} as const

/** Bytes of each metadata value type that has a fixed size. */
export const GGUF_VALUE_BYTES: ReadonlyMap<number, number> = new Map([
  [GgufType.uint8, 1],
  [GgufType.int8, 1],
  [GgufType.uint16, 2],
  [GgufType.int16, 2],
  [GgufType.uint32, 4],
  [GgufType.int32, 4],
  [GgufType.float32, 4],
  [GgufType.bool, 1],
  [GgufType.uint64, 8],
  [GgufType.int64, 8],
  [GgufType.float64, 8]
])

/** How a tensor type stores its elements: blocks of `elements`, `bytes` each. */
export interface GgmlType {
  name: string
  elements: number
  bytes: number
}

const type = (name: string, elements: number, bytes: number): GgmlType => ({ name, elements, bytes })

/**
 * Tensor types by ggml's number. The sizes are those that `ggml_type_size` and `ggml_blck_size` of the pinned llama.cpp
 * answer; the numbers that are left out are types that ggml has dropped.
 */
export const GGML_TYPES: ReadonlyMap<number, GgmlType> = new Map([
  [0, type('F32', 1, 4)],
  [1, type('F16', 1, 2)],
  [2, type('Q4_0', 32, 18)],
  [3, type('Q4_1', 32, 20)],
  [6, type('Q5_0', 32, 22)],
  [7, type('Q5_1', 32, 24)],
  [8, type('Q8_0', 32, 34)],
  [9, type('Q8_1', 32, 36)],
  [10, type('Q2_K', 256, 84)],
  [11, type('Q3_K', 256, 110)],
  [12, type('Q4_K', 256, 144)],
  [13, type('Q5_K', 256, 176)],
  [14, type('Q6_K', 256, 210)],
  [15, type('Q8_K', 256, 292)],
  [16, type('IQ2_XXS', 256, 66)],
  [17, type('IQ2_XS', 256, 74)],
  [18, type('IQ3_XXS', 256, 98)],
  [19, type('IQ1_S', 256, 50)],
  [20, type('IQ4_NL', 32, 18)],
  [21, type('IQ3_S', 256, 110)],
  [22, type('IQ2_S', 256, 82)],
  [23, type('IQ4_XS', 256, 136)],
  [24, type('I8', 1, 1)],
  [25, type('I16', 1, 2)],
  [26, type('I32', 1, 4)],
  [27, type('I64', 1, 8)],
  [28, type('F64', 1, 8)],
  [29, type('IQ1_M', 256, 56)],
  [30, type('BF16', 1, 2)],
  [34, type('TQ1_0', 256, 54)],
  [35, type('TQ2_0', 256, 66)],
  [39, type('MXFP4', 32, 17)],
  [40, type('NVFP4', 64, 36)],
  [41, type('Q1_0', 128, 18)],
  [42, type('Q2_0', 64, 18)]
])

/** Dimensions of a tensor (`GGML_MAX_DIMS`). */
export const MAX_DIMS = 4

/** Bytes of a tensor's name: ggml keeps 64 including the final zero (`GGML_MAX_NAME`). */
export const MAX_TENSOR_NAME_BYTES = 63

/** Tensors of a model: the largest models have a few thousand. */
export const MAX_TENSORS = 65_536

/** A tensor as both a GGUF header and a manifest know it. */
export interface TensorShape {
  name: string
  /** Elements along each dimension, the contiguous one first. */
  dims: readonly number[]
  /** ggml's type number. */
  type: number
}

/**
 * Bytes of a tensor's data. Every dimension is checked before the next multiplication, so no product leaves the safe
 * integers.
 * @throws ModelError UNSUPPORTED_TYPE or ABSURD_SIZE.
 */
export function tensorBytes({ name, dims, type }: TensorShape): number {
  const what = `tensor ${JSON.stringify(name)}`
  const layout = GGML_TYPES.get(type)
  if (!layout) throw new ModelError('UNSUPPORTED_TYPE', `${what} has ggml type ${type}, which llama.cpp does not know`)
  const absurd = (message: string): ModelError => new ModelError('ABSURD_SIZE', `${what} has ${message}`)
  if (dims.length < 1 || dims.length > MAX_DIMS) throw absurd(`${dims.length} dimensions, allowed are 1 to ${MAX_DIMS}`)
  let elements = 1
  for (const dim of dims) {
    if (!Number.isSafeInteger(dim) || dim < 1) throw absurd(`a dimension of ${dim}`)
    if (dim > Number.MAX_SAFE_INTEGER / elements) throw absurd('more than 2^53 elements')
    elements *= dim
  }
  const row = dims[0] ?? 0
  if (row % layout.elements !== 0) throw absurd(`rows of ${row}, not a multiple of ${layout.name}'s ${layout.elements}`)
  const bytes = (elements / layout.elements) * layout.bytes
  if (!Number.isSafeInteger(bytes)) throw absurd('more than 2^53 bytes')
  return bytes
}

/** The next multiple of `alignment` (a power of two or not) at or above `offset`. */
export function alignUp(offset: number, alignment: number): number {
  return Math.ceil(offset / alignment) * alignment
}
