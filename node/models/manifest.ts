import { open } from 'node:fs/promises'
import { PIECE_BYTES } from '../../protocol/limits.js'
import { encodeManifest } from '../../protocol/manifest.js'
import { describeModel, type ModelDescription } from './description.js'
import { ModelError } from './errors.js'
import { readFully } from './files.js'
import type { Gguf } from './gguf.js'
import { MAX_TENSOR_NAME_BYTES, tensorBytes } from './gguf-types.js'
import { layOutGguf } from './gguf-writer.js'
import { sha256 } from './hash.js'
import type { ModelFile } from './shard-writer.js'
import type { Blob, FetchProgress, Manifest, ManifestTensor } from './types.js'

export interface BuildManifestOptions {
  /** The model's own name by default. */
  name?: string
  /** Layers before which the model may be cut, ascending. */
  cuts: number[]
  signal?: AbortSignal
  onProgress?: (progress: FetchProgress) => void
}

/**
 * Hashes every piece of a model's file: what others need to fetch it from anybody and to know that they got it.
 * @throws ModelError BAD_METADATA, TRUNCATED; ProtocolError when the model is outside the protocol's limits.
 */
export async function buildManifest(model: ModelFile, options: BuildManifestOptions): Promise<Manifest> {
  const { gguf, file } = model
  const description = describeModel(gguf)
  const header = headerBytes(gguf)
  const progress = new Progress(header.length, gguf, options.onProgress)
  await using handle = await open(file, 'r')
  const tensors: ManifestTensor[] = []
  for (const { name, dims, type, offset, size } of gguf.tensors) {
    const pieces: string[] = []
    for (const { start, length } of piecesOf(size, PIECE_BYTES)) {
      options.signal?.throwIfAborted()
      pieces.push(sha256(await readFully(handle, gguf.dataStart + offset + start, length)))
      progress.add(length)
    }
    tensors.push({ name, dims, type, data: { size, pieces } })
  }
  const name = firstOf(options.name, description.name, description.architecture)
  return {
    name,
    ...described(description),
    licence: description.licence,
    cuts: options.cuts,
    pieceBytes: PIECE_BYTES,
    alignment: gguf.alignment,
    header: blobOf(header),
    tensors
  }
}

/** A GGUF file with all of a model's metadata and no tensors; the same bytes for the same metadata. */
export function headerBytes({ metadata, alignment }: Pick<Gguf, 'metadata' | 'alignment'>): Uint8Array {
  return layOutGguf(metadata.entries, [], alignment).header
}

/** SHA-256 of the encoded manifest, hex: the model's name in the swarm. */
export function manifestId(manifest: Manifest): string {
  return sha256(encodeManifest(manifest))
}

/** Where the pieces of `size` bytes start and how long each is. */
export function piecesOf(size: number, pieceBytes: number): { start: number; length: number }[] {
  const pieces: { start: number; length: number }[] = []
  for (let start = 0; start < size; start += pieceBytes) {
    pieces.push({ start, length: Math.min(pieceBytes, size - start) })
  }
  return pieces
}

/**
 * What the codec cannot know: that each tensor is one that llama.cpp reads and has the size that its shape says.
 * @throws ModelError BAD_MANIFEST
 */
export function checkTensors({ tensors }: Manifest): void {
  for (const tensor of tensors) {
    const { name, data } = tensor
    if (Buffer.byteLength(name) > MAX_TENSOR_NAME_BYTES) throw bad(`a tensor's name has more than 63 bytes: ${name}`)
    const size = expectedBytes(tensor)
    if (size !== data.size) throw bad(`tensor ${JSON.stringify(name)} has ${data.size} bytes, its shape says ${size}`)
  }
}

function expectedBytes(tensor: ManifestTensor): number {
  try {
    return tensorBytes(tensor)
  } catch (cause) {
    throw new ModelError('BAD_MANIFEST', 'the manifest describes a tensor that cannot be', { cause })
  }
}

/** @throws ModelError BAD_MANIFEST when the header is another model's than the manifest says. */
export function checkHeader(manifest: Manifest, header: Gguf): void {
  const found = described(describeModel({ metadata: header.metadata, tensors: manifest.tensors }))
  for (const [key, value] of Object.entries(found)) {
    const claimed = manifest[key as keyof typeof found]
    if (claimed !== value) throw bad(`the manifest says ${key} ${claimed}, the model's header says ${value}`)
  }
  if (header.alignment !== manifest.alignment) throw bad(`the header's alignment is ${header.alignment}`)
}

function described({ architecture, layers, width, vocabulary, context }: ModelDescription) {
  return { architecture, layers, width, vocabulary, context }
}

function blobOf(bytes: Uint8Array): Blob {
  const pieces = piecesOf(bytes.length, PIECE_BYTES)
  return {
    size: bytes.length,
    pieces: pieces.map(({ start, length }) => sha256(bytes.subarray(start, start + length)))
  }
}

function firstOf(...names: (string | undefined)[]): string {
  return names.find(name => name !== undefined && name !== '') ?? 'model'
}

function bad(message: string): ModelError {
  return new ModelError('BAD_MANIFEST', message)
}

class Progress {
  private readonly state: FetchProgress
  private readonly report: ((progress: FetchProgress) => void) | undefined

  constructor(headerSize: number, { tensors }: Gguf, report: ((progress: FetchProgress) => void) | undefined) {
    const count = (size: number): number => Math.ceil(size / PIECE_BYTES)
    this.report = report
    this.state = {
      bytes: headerSize,
      totalBytes: tensors.reduce((sum, { size }) => sum + size, headerSize),
      pieces: count(headerSize),
      totalPieces: tensors.reduce((sum, { size }) => sum + count(size), count(headerSize))
    }
  }

  add(bytes: number): void {
    this.state.bytes += bytes
    this.state.pieces += 1
    this.report?.({ ...this.state })
  }
}
