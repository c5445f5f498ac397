import { ModelError } from './errors.js'
import type { TensorShape } from './gguf-types.js'
import type { LayerRange } from './types.js'

/** Rows of the vocabulary that a shard without either end still claims: llama.cpp wants the tensors, nothing reads them. */
export const MIDDLE_VOCABULARY = 32

/** The layer of a tensor, and its name within it; undefined for tensors outside the layers. */
export function blockOf(name: string): { layer: number; rest: string } | undefined {
  const match = /^blk\.(\d{1,6})\.(.+)$/.exec(name)
  const [, layer, rest] = match ?? []
  return layer === undefined || rest === undefined ? undefined : { layer: Number(layer), rest }
}

/** What a shard does with a tensor of the model. */
export type TensorUse =
  /** The shard has its data. */
  | 'data'
  /** llama.cpp wants to see it, but nothing reads its data: a hole in the file. */
  | 'hole'
  /** Not in the shard at all. */
  | 'absent'

/** The model that a layer range belongs to. */
export interface RangeOf {
  range: LayerRange
  /** Of the whole model. */
  layers: number
  /** The head uses the embedding's weights. */
  tied: boolean
}

/** What the shard `range` does with the model's tensor `name`. Blocks after the last layer stay with the head. */
export function tensorUse(name: string, { range, layers, tied }: RangeOf): TensorUse {
  const first = range.start === 0
  const last = range.end === layers
  const block = blockOf(name)
  if (block) {
    const inside = block.layer >= range.start && block.layer < range.end
    return inside || (last && block.layer >= layers) ? 'data' : 'absent'
  }
  if (name === 'token_embd.weight') return first || (last && tied) ? 'data' : 'hole'
  if (name === 'output.weight' || name === 'output.bias') return last ? 'data' : 'hole'
  return 'data'
}

export function isTied(tensors: readonly TensorShape[]): boolean {
  return !tensors.some(tensor => tensor.name === 'output.weight')
}

/** Whether a model with `layers` has these layers. */
export function isRange({ start, end }: LayerRange, layers: number): boolean {
  return Number.isInteger(start) && Number.isInteger(end) && start >= 0 && start < end && end <= layers
}

/** @throws ModelError BAD_RANGE */
export function checkRange({ start, end }: LayerRange, layers: number): void {
  if (isRange({ start, end }, layers)) return
  throw new ModelError('BAD_RANGE', `layers ${start}-${end} are no range of a model with ${layers} layers`, {
    details: { start, end, layers }
  })
}
