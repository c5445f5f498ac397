import { shardMetadataOverrides } from '../engine/architectures.js'
import { describeModel, type ModelDescription, type ModelHeader } from './description.js'
import { arrayOf, type GgufEntry, type GgufMetadata, sliceArray } from './gguf-metadata.js'
import { GgufType, tensorBytes } from './gguf-types.js'
import { layOutGguf, numberEntry, stringEntry } from './gguf-writer.js'
import { blockOf, checkRange, MIDDLE_VOCABULARY, tensorUse } from './tensors.js'
import type { LayerRange } from './types.js'

/** Arrays of the architecture whose items are no layers, whatever their length. */
const NOT_BY_LAYER = new Set(['rope.dimension_sections', 'classifier.output_labels'])

export interface ShardTensor {
  /** Its name in the model. */
  source: string
  /** Its name in the shard. */
  name: string
  dims: readonly number[]
  type: number
  /** Bytes of data. */
  size: number
  /** Of the data, bytes from the start of the shard file. */
  offset: number
  /** Nothing reads its data: it is left out of the sparse file. */
  hole: boolean
}

/** A shard file, worked out before anything is written. */
export interface ShardPlan {
  range: LayerRange
  header: Uint8Array
  tensors: ShardTensor[]
  fileBytes: number
}

/** Bytes that the shard's file takes on a disk: holes take none. */
export function storedBytes({ header, tensors }: ShardPlan): number {
  return tensors.reduce((sum, { size, hole }) => sum + (hole ? 0 : size), header.length)
}

/** A model as far as a shard's layout needs it: from its file, or from its manifest and header. */
export interface ShardSource extends ModelHeader {
  /** Bytes. */
  alignment: number
}

/**
 * Layers `range` as a GGUF file of its own: layers are renumbered from 0, what is set per layer is cut out, and the ends
 * that the shard does not use become holes.
 * @throws ModelError BAD_RANGE, BAD_METADATA
 */
export function planShard(source: ShardSource, range: LayerRange): ShardPlan {
  const model = describeModel(source)
  checkRange(range, model.layers)
  const tensors = shardTensors(source, model, range)
  const { header, offsets, fileBytes } = layOutGguf(
    shardMetadata(source.metadata, model, range),
    tensors,
    source.alignment
  )
  return {
    range,
    header,
    tensors: tensors.map((tensor, i) => ({ ...tensor, offset: offsets[i] ?? 0 })),
    fileBytes
  }
}

function shardTensors(
  { tensors }: ShardSource,
  { layers, tied }: ModelDescription,
  range: LayerRange
): Omit<ShardTensor, 'offset'>[] {
  const middle = range.start > 0 && range.end < layers
  return tensors.flatMap(({ name: source, dims: whole, type }) => {
    const use = tensorUse(source, { range, layers, tied })
    if (use === 'absent') return []
    const block = blockOf(source)
    const name = block ? `blk.${block.layer - range.start}.${block.rest}` : source
    const hole = use === 'hole'
    const dims = hole && middle ? [...whole.slice(0, -1), MIDDLE_VOCABULARY] : whole
    return [{ source, name, dims, type, size: tensorBytes({ name, dims, type }), hole }]
  })
}

function shardMetadata(metadata: GgufMetadata, model: ModelDescription, range: LayerRange): Map<string, GgufEntry> {
  const { architecture, layers, extraLayers } = model
  const last = range.end === layers
  const middle = range.start > 0 && !last
  const extra = last ? extraLayers : 0
  const entries = new Map<string, GgufEntry>()
  for (const [key, entry] of metadata.entries) {
    if (key.startsWith('split.') || (middle && key.startsWith('tokenizer.'))) continue
    entries.set(key, cutByLayer(key, entry, { model, range, extra }))
  }
  const set = (key: string, value: number): unknown => entries.set(key, numberEntry(GgufType.uint32, value))
  set(`${architecture}.block_count`, range.end - range.start + extra)
  const dense = metadata.count(`${architecture}.leading_dense_block_count`)
  if (dense !== undefined) set(`${architecture}.leading_dense_block_count`, Math.max(0, dense - range.start))
  if (extraLayers > 0) set(`${architecture}.nextn_predict_layers`, extra)
  if (middle) {
    entries.set('tokenizer.ggml.model', stringEntry('no_vocab'))
    set(`${architecture}.vocab_size`, MIDDLE_VOCABULARY)
  }
  for (const [key, value] of Object.entries(shardMetadataOverrides(architecture, range.start))) {
    entries.set(key, numberEntry(GgufType.float32, value))
  }
  return entries
}

/** The part of a per-layer array that belongs to the range (and to the extra blocks behind the head); else the entry as it is. */
function cutByLayer(
  key: string,
  entry: GgufEntry,
  { model, range, extra }: { model: ModelDescription; range: LayerRange; extra: number }
): GgufEntry {
  const prefix = `${model.architecture}.`
  const array = arrayOf(entry)
  if (!array || !key.startsWith(prefix) || NOT_BY_LAYER.has(key.slice(prefix.length))) return entry
  const { length } = array
  if (length === model.layers) return sliceArray(array, range.start, range.end)
  return length === model.layers + model.extraLayers ? sliceArray(array, range.start, range.end + extra) : entry
}
