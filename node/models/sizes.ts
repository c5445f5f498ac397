import type { GgufMetadata } from './gguf-metadata.js'
import { blockOf, checkRange, isTied, tensorUse } from './tensors.js'
import type { LayerRange, Manifest, ManifestTensor } from './types.js'

const KV_KEYS = [
  'attention.kv_lora_rank',
  'attention.key_length_mla',
  'rope.dimension_count',
  'attention.head_count',
  'attention.head_count_kv',
  'attention.key_length',
  'attention.value_length'
] as const
type KvKey = (typeof KV_KEYS)[number]

/** Bytes of one KV element: llama.cpp keeps f16 by default. */
const KV_ELEMENT_BYTES = 2

/** As much of a manifest as sizes need. */
export type ModelTensors = Pick<Manifest, 'architecture' | 'layers' | 'width' | 'tensors'>

/** The model's tensors whose data a shard of `range` has. @throws ModelError BAD_RANGE */
export function tensorsOf(manifest: Manifest, range: LayerRange): ManifestTensor[] {
  const { layers, tensors } = manifest
  checkRange(range, layers)
  const tied = isTied(tensors)
  return tensors.filter(({ name }) => tensorUse(name, { range, layers, tied }) === 'data')
}

/** Bytes of weights that a shard of `range` has, and fetches. */
export function rangeBytes(manifest: Manifest, range: LayerRange): number {
  return sum(tensorsOf(manifest, range))
}

/** Bytes of all weights. */
export function modelBytes({ tensors }: Pick<Manifest, 'tensors'>): number {
  return sum(tensors)
}

/** Bytes of each layer's weights. */
export function layerBytes({ layers, tensors }: ModelTensors): number[] {
  const bytes = new Array<number>(layers).fill(0)
  for (const { name, data } of tensors) {
    const layer = blockOf(name)?.layer ?? layers
    if (layer < layers) bytes[layer] = (bytes[layer] ?? 0) + data.size
  }
  return bytes
}

/** Bytes that the shard with layer 0 has besides its layers. */
export function embeddingBytes({ tensors }: ModelTensors): number {
  return sum(tensors.filter(({ name }) => name === 'token_embd.weight'))
}

/** Bytes that the shard with the last layer has besides its layers: the head, a tied embedding, blocks after the last layer. */
export function headBytes({ layers, tensors }: ModelTensors): number {
  const tied = isTied(tensors)
  const ofHead = (name: string): boolean => {
    const block = blockOf(name)
    return block ? block.layer >= layers : tied || name !== 'token_embd.weight'
  }
  return sum(tensors.filter(({ name }) => ofHead(name)))
}

function sum(tensors: readonly ManifestTensor[]): number {
  return tensors.reduce((total, { data }) => total + data.size, 0)
}

/**
 * Bytes of KV cache for one position, of each layer. An upper bound for what keeps less: sliding windows count as full
 * attention, recurrent layers (whose state does not grow) as nothing.
 * @param metadata of the model's header
 */
export function kvBytesPerPosition(manifest: ModelTensors, metadata: GgufMetadata): number[] {
  const attending = attentionLayers(manifest)
  const counts = Object.fromEntries(KV_KEYS.map(key => [key, metadata.counts(`${manifest.architecture}.${key}`)]))
  const at = (key: KvKey, layer: number): number | undefined => {
    const value = counts[key]
    return Array.isArray(value) ? value[layer] : value
  }
  return Array.from({ length: manifest.layers }, (_, layer) =>
    attending.has(layer) ? kvElements(manifest, key => at(key, layer)) * KV_ELEMENT_BYTES : 0
  )
}

function kvElements({ width }: ModelTensors, at: (key: KvKey) => number | undefined): number {
  // Multi-head latent attention keeps one compressed vector and the rotated part of the key.
  const latent = at('attention.kv_lora_rank')
  if (latent !== undefined && at('attention.key_length_mla') !== undefined) {
    return latent + (at('rope.dimension_count') ?? 0)
  }
  const heads = at('attention.head_count') ?? 1
  const keyHeads = at('attention.head_count_kv') ?? heads
  const head = width / Math.max(1, heads)
  return keyHeads * ((at('attention.key_length') ?? head) + (at('attention.value_length') ?? head))
}

/** Layers with attention, by their tensors: recurrent ones of hybrid models have no keys. */
function attentionLayers({ tensors }: ModelTensors): ReadonlySet<number> {
  const keyed = new Set<number>()
  const fused = new Set<number>()
  const recurrent = new Set<number>()
  for (const { name } of tensors) {
    const block = blockOf(name)
    if (!block) continue
    if (/^attn_(k|kv\w*)\./.test(block.rest)) keyed.add(block.layer)
    if (block.rest.startsWith('attn_qkv.')) fused.add(block.layer)
    if (block.rest.startsWith('ssm_')) recurrent.add(block.layer)
  }
  for (const layer of fused) if (!recurrent.has(layer)) keyed.add(layer)
  return keyed
}
