import type { LayerRange, Manifest } from '../../protocol/manifest.js'

/** What a model is, as the node sees it after decoding and checking a manifest (`protocol/manifest.ts`). */
export type { Blob, LayerRange, Manifest, ManifestTensor } from '../../protocol/manifest.js'

/** A model in the store: its manifest, its id and where its bytes are. */
export interface StoredModel {
  /** SHA-256 of the encoded manifest, hex. */
  id: string
  manifest: Manifest
  /** GGUF with the metadata and tokenizer; undefined until fetched. */
  headerFile: string | undefined
  /** The owner's complete file, where this node shared it. */
  sourceFile: string | undefined
  /** Complete shard files in the store. */
  shards: { range: LayerRange; file: string }[]
}

export interface FetchProgress {
  bytes: number
  totalBytes: number
  pieces: number
  totalPieces: number
}
