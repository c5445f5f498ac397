import { ModelError } from './errors.js'
import type { GgufMetadata } from './gguf-metadata.js'
import type { TensorShape } from './gguf-types.js'

/** What a GGUF file says about the model in it. */
export interface ModelDescription {
  architecture: string
  /** Empty when the file has none. */
  name: string
  licence: string
  /** Transformer blocks that a step runs through. */
  layers: number
  /** Blocks after those, for multi-token prediction; they stay with the head. */
  extraLayers: number
  /** Elements of a hidden state. */
  width: number
  /** Tokens. */
  vocabulary: number
  /** Positions it was trained for. */
  context: number
  /** The head uses the embedding's weights. */
  tied: boolean
}

/** The parts of a header that describe a model. */
export interface ModelHeader {
  metadata: GgufMetadata
  tensors: readonly TensorShape[]
}

/**
 * Reads what the node needs to know about a model.
 * @throws ModelError BAD_METADATA when the file lacks it or contradicts itself, SPLIT_FILE for one part of several.
 */
export function describeModel({ metadata, tensors }: ModelHeader): ModelDescription {
  const architecture = metadata.string('general.architecture')
  if (architecture === undefined) throw missing('general.architecture')
  refuseParts(metadata)
  const blocks = needCount(metadata, `${architecture}.block_count`)
  const extraLayers = metadata.count(`${architecture}.nextn_predict_layers`) ?? 0
  const layers = blocks - extraLayers
  if (layers < 1) throw new ModelError('BAD_METADATA', `the model has ${blocks} blocks, ${extraLayers} of them extra`)
  return {
    architecture,
    name: metadata.string('general.name') ?? '',
    licence: metadata.string('general.license') ?? '',
    layers,
    extraLayers,
    width: needCount(metadata, `${architecture}.embedding_length`),
    vocabulary: vocabularyOf(metadata, architecture),
    context: needCount(metadata, `${architecture}.context_length`),
    tied: !tensors.some(tensor => tensor.name === 'output.weight')
  }
}

function refuseParts(metadata: GgufMetadata): void {
  const parts = metadata.count('split.count') ?? 1
  if (parts <= 1) return
  const message = `the file is one of ${parts} parts of a model; join them first with llama-gguf-split --merge`
  throw new ModelError('SPLIT_FILE', message, { details: { parts } })
}

function vocabularyOf(metadata: GgufMetadata, architecture: string): number {
  const tokens = metadata.arrayLength('tokenizer.ggml.tokens') ?? metadata.count(`${architecture}.vocab_size`)
  if (tokens === undefined) throw missing(`tokenizer.ggml.tokens or ${architecture}.vocab_size`)
  return tokens
}

function needCount(metadata: GgufMetadata, key: string): number {
  const value = metadata.count(key)
  if (value === undefined) throw missing(key)
  if (value < 1 || value > 0xffffffff) throw new ModelError('BAD_METADATA', `metadata ${key} is ${value}`)
  return value
}

function missing(key: string): ModelError {
  return new ModelError('BAD_METADATA', `the model's metadata has no ${key}: is it a language model?`, {
    details: { key }
  })
}
