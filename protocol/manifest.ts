import { bytesOf, cutList, integer, list, malformed, someText, text, tooLarge } from './checks.js'
import { toHex } from './bytes.js'
import { decodeMessage, finishMessage } from './codec.js'
import { flambeau } from './generated/messages.js'
import {
  HASH_BYTES,
  MAX_ALIGNMENT,
  MAX_DIMENSIONS,
  MAX_HEADER_BYTES,
  MAX_LAYERS,
  MAX_LICENCE_BYTES,
  MAX_MANIFEST_BYTES,
  MAX_MANIFEST_FIELDS,
  MAX_NAME_BYTES,
  MAX_POSITIONS,
  MAX_TENSORS,
  MAX_TENSOR_TYPE,
  MAX_VOCABULARY,
  MAX_WIDTH
} from './limits.js'
import { ProtocolError } from './protocol-error.js'

/** Layers `[start, end)` of a model. */
export interface LayerRange {
  start: number
  end: number
}

/** Bytes cut into pieces, all of the manifest's `pieceBytes` but the last. */
export interface Blob {
  size: number
  /** SHA-256 of each piece, lower-case hex. */
  pieces: string[]
}

export interface ManifestTensor {
  name: string
  /** As in GGUF: the fastest first. */
  dims: number[]
  /** ggml type number. */
  type: number
  data: Blob
}

/** What a model is. The SHA-256 of its encoded form names the model. */
export interface Manifest {
  name: string
  architecture: string
  layers: number
  /** Of a hidden state, elements. */
  width: number
  vocabulary: number
  /** Positions it was trained for. */
  context: number
  /** Layers before which the model may be cut, ascending, within (0, layers). */
  cuts: number[]
  /** One of `PIECE_SIZES`. */
  pieceBytes: number
  /** Of tensors in a shard file. */
  alignment: number
  /** A GGUF file with all metadata and no tensors. */
  header: Blob
  tensors: ManifestTensor[]
  licence: string
}

/** Version of the manifest's format. */
export const MANIFEST_VERSION = 1

/** Sizes that pieces may have, bytes. */
export const PIECE_SIZES: readonly number[] = [4_096, 16_384, 65_536, 262_144, 1_048_576]

/** Field 12 (tensors), length-delimited. */
const TENSOR_TAG = 12 * 8 + 2

const LIMITS = {
  bytes: MAX_MANIFEST_BYTES,
  fields: MAX_MANIFEST_FIELDS,
  repeated: { tag: TENSOR_TAG, most: MAX_TENSORS }
}

/**
 * The bytes of a manifest: the same for equal manifests, since fields are written in the order of their numbers.
 *
 * @throws ProtocolError - when the manifest breaks a rule
 */
export function encodeManifest(manifest: Manifest): Uint8Array {
  checkManifest(manifest)
  const message = {
    ...manifest,
    version: MANIFEST_VERSION,
    header: encodeBlob(manifest.header),
    tensors: manifest.tensors.map(({ name, dims, type, data }) => ({ name, dims, type, data: encodeBlob(data) }))
  }
  return finishMessage('manifest', flambeau.Manifest.encode(message), MAX_MANIFEST_BYTES)
}

/**
 * A manifest from its bytes, checked against every rule in README.md. Whether it has the hash that it was asked for by
 * is the caller's to check, on the bytes.
 *
 * @throws ProtocolError - UNSUPPORTED for another version, MALFORMED or TOO_LARGE
 */
export function decodeManifest(bytes: Uint8Array): Manifest {
  const message = decodeMessage('manifest', bytes, LIMITS, reader => flambeau.Manifest.decode(reader))
  if (message.version !== MANIFEST_VERSION) {
    throw new ProtocolError('UNSUPPORTED', `manifest of version ${message.version}, this is ${MANIFEST_VERSION}`)
  }
  const { name, architecture, layers, width, vocabulary, context, cuts, pieceBytes, alignment, licence } = message
  const manifest = {
    ...{ name, architecture, layers, width, vocabulary, context, cuts, pieceBytes, alignment },
    header: decodeBlob(message.header),
    tensors: list('tensors', message.tensors, MAX_TENSORS).map(decodeTensor),
    licence
  }
  checkManifest(manifest)
  return manifest
}

function decodeTensor({ name, dims, type, data }: flambeau.Tensor.$Properties): ManifestTensor {
  return { name: name ?? '', dims: dims ?? [], type: type ?? 0, data: decodeBlob(data) }
}

function encodeBlob({ size, pieces }: Blob): flambeau.Blob.$Properties {
  const hashes = new Uint8Array(pieces.length * HASH_BYTES)
  pieces.forEach((piece, index) => hashes.set(bytesOf('piece hash', piece), index * HASH_BYTES))
  return { sizeHigh: Math.floor(size / 2 ** 32), sizeLow: size >>> 0, pieces: hashes }
}

function decodeBlob(blob: flambeau.Blob.$Properties | null | undefined): Blob {
  const hashes = blob?.pieces ?? new Uint8Array(0)
  if (hashes.length % HASH_BYTES !== 0) throw malformed(`${hashes.length} bytes of piece hashes`)
  const hex = toHex(hashes)
  const pieces = Array.from({ length: hashes.length / HASH_BYTES }, (_, index) =>
    hex.slice(index * 2 * HASH_BYTES, (index + 1) * 2 * HASH_BYTES)
  )
  return { size: (blob?.sizeHigh ?? 0) * 2 ** 32 + (blob?.sizeLow ?? 0), pieces }
}

function checkManifest(manifest: Manifest): void {
  const { layers, pieceBytes, alignment, tensors } = manifest
  someText('model name', manifest.name, MAX_NAME_BYTES)
  someText('architecture', manifest.architecture, MAX_NAME_BYTES)
  text('licence', manifest.licence, MAX_LICENCE_BYTES)
  integer('layers', layers, { min: 1, max: MAX_LAYERS })
  integer('width', manifest.width, { min: 1, max: MAX_WIDTH })
  integer('vocabulary', manifest.vocabulary, { min: 1, max: MAX_VOCABULARY })
  integer('context', manifest.context, { min: 1, max: MAX_POSITIONS })
  cutList(manifest.cuts, layers)
  if (!PIECE_SIZES.includes(pieceBytes)) throw malformed(`pieces of ${pieceBytes} bytes`)
  integer('alignment', alignment, { min: 1, max: MAX_ALIGNMENT })
  if ((alignment & (alignment - 1)) !== 0) throw malformed(`alignment ${alignment} is not a power of two`)
  checkBlob('header', manifest.header, { pieceBytes, most: MAX_HEADER_BYTES })
  list('tensors', tensors, MAX_TENSORS).forEach(tensor => checkTensor(tensor, pieceBytes))
  const names = new Set(tensors.map(({ name }) => name))
  if (names.size !== tensors.length) throw malformed('two tensors of one name')
}

function checkTensor({ name, dims, type, data }: ManifestTensor, pieceBytes: number): void {
  someText('tensor name', name, MAX_NAME_BYTES)
  integer('tensor type', type, { min: 0, max: MAX_TENSOR_TYPE })
  integer('dimensions', dims.length, { min: 1, max: MAX_DIMENSIONS })
  dims.forEach(dim => integer('dimension', dim, { min: 1, max: 0xffffffff }))
  const elements = dims.reduce((product, dim) => product * dim, 1)
  if (!Number.isSafeInteger(elements)) throw tooLarge(`tensor ${name} has ${elements} elements`)
  checkBlob(`tensor ${name}`, data, { pieceBytes, most: Number.MAX_SAFE_INTEGER })
}

function checkBlob(
  what: string,
  { size, pieces }: Blob,
  { pieceBytes, most }: { pieceBytes: number; most: number }
): void {
  integer(`size of ${what}`, size, { min: 1, max: most })
  const expected = Math.ceil(size / pieceBytes)
  if (pieces.length !== expected)
    throw malformed(`${what} of ${size} bytes has ${pieces.length} pieces, not ${expected}`)
}
