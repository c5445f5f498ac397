/** What a range of layers takes of memory: weights, and KV for the configured context. Bytes. */
import type { GgufMetadata } from '../models/gguf-metadata.js'
import { embeddingBytes, headBytes, kvBytesPerPosition, layerBytes, type ModelTensors } from '../models/sizes.js'

export interface Footprint {
  /** Of each layer, KV included. */
  layerBytes: number[]
  /** With layer 0. */
  embeddingBytes: number
  /** With the last layer. */
  headBytes: number
}

/** @param context KV positions that a shard has room for */
export function footprint(manifest: ModelTensors, metadata: GgufMetadata, context: number): Footprint {
  const kv = kvBytesPerPosition(manifest, metadata)
  return {
    layerBytes: layerBytes(manifest).map((bytes, layer) => bytes + (kv[layer] ?? 0) * context),
    embeddingBytes: embeddingBytes(manifest),
    headBytes: headBytes(manifest)
  }
}
