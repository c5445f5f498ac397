import { open } from 'node:fs/promises'
import { ModelError } from './errors.js'
import { type GgufEntry, GgufMetadata } from './gguf-metadata.js'
import { Cursor, NeedMoreBytes } from './gguf-cursor.js'
import { alignUp, GgufType, MAX_DIMS, MAX_TENSOR_NAME_BYTES, MAX_TENSORS, tensorBytes } from './gguf-types.js'

/** Metadata keys of a file; real models have under a hundred. */
const MAX_KEYS = 65_536

/** Bytes of a metadata key (GGUF specification). */
const MAX_KEY_BYTES = 65_535

const DEFAULT_ALIGNMENT = 32

/** Tensor alignment in bytes: a page is the largest that makes sense, 64 KiB the largest page. */
const MAX_ALIGNMENT = 65_536

/** First read of a header, in bytes: enough for the metadata of a small model; large vocabularies take a second one. */
const FIRST_READ_BYTES = 1 << 20

const MAGIC = 0x46554747 // "GGUF", little endian

export interface GgufTensor {
  name: string
  /** Elements along each dimension, the contiguous one first. */
  dims: number[]
  /** ggml's type number. */
  type: number
  /** Bytes from the start of the data section. */
  offset: number
  /** Bytes of data. */
  size: number
}

/** The header of a GGUF file; everything in it has been checked against the file's size. */
export interface Gguf {
  version: number
  metadata: GgufMetadata
  tensors: GgufTensor[]
  /** Bytes. */
  alignment: number
  /** Where the data section starts, bytes from the start of the file. */
  dataStart: number
  /** Bytes. */
  fileSize: number
}

/**
 * Reads the header of a GGUF file (version 2 or 3). Memory grows with what the file really has, never with what a number
 * in it says.
 * @throws ModelError that names what is wrong and where.
 */
export async function readGguf(file: string, options: { signal?: AbortSignal } = {}): Promise<Gguf> {
  try {
    return await readHeader(file, options)
  } catch (error) {
    if (!(error instanceof ModelError)) throw error
    throw new ModelError(error.code, `${file}: ${error.message}`, { details: { ...error.details, file }, cause: error })
  }
}

async function readHeader(file: string, options: { signal?: AbortSignal }): Promise<Gguf> {
  await using handle = await open(file, 'r')
  const { size } = await handle.stat()
  let wanted = FIRST_READ_BYTES
  let bytes = new Uint8Array(0)
  for (;;) {
    options.signal?.throwIfAborted()
    const read = bytes.length
    const grown = new Uint8Array(Math.min(wanted, size))
    grown.set(bytes)
    bytes = await fill(handle, grown, read)
    const parsed = tryParse(bytes, size)
    if (!(parsed instanceof NeedMoreBytes)) return parsed
    wanted = Math.max(parsed.bytes, bytes.length * 4)
  }
}

type Handle = Awaited<ReturnType<typeof open>>

async function fill(handle: Handle, bytes: Uint8Array, from: number): Promise<Uint8Array<ArrayBuffer>> {
  let offset = from
  while (offset < bytes.length) {
    const { bytesRead } = await handle.read(bytes, offset, bytes.length - offset, offset)
    if (bytesRead === 0) throw new ModelError('TRUNCATED', `the file became shorter while it was read`)
    offset += bytesRead
  }
  return bytes as Uint8Array<ArrayBuffer>
}

function tryParse(bytes: Uint8Array, fileSize: number): Gguf | NeedMoreBytes {
  try {
    return parseGguf(bytes, fileSize)
  } catch (error) {
    if (error instanceof NeedMoreBytes) return error
    throw error
  }
}

/**
 * Parses a header from the first bytes of a file of `fileSize` bytes.
 * @throws NeedMoreBytes when the header goes on after `bytes`; ModelError when something is wrong.
 */
export function parseGguf(bytes: Uint8Array, fileSize: number): Gguf {
  const cursor = new Cursor(bytes, fileSize)
  const version = readVersion(cursor)
  const tensorCount = cursor.count('tensors', MAX_TENSORS)
  const keyCount = cursor.count('metadata keys', MAX_KEYS)
  const entries = readEntries(cursor, keyCount)
  const alignment = alignmentOf(entries)
  const tensors = readTensors(cursor, tensorCount, alignment)
  const dataStart = alignUp(cursor.offset, alignment)
  checkWithinFile(tensors, dataStart, fileSize)
  return { version, metadata: new GgufMetadata(entries), tensors, alignment, dataStart, fileSize }
}

function readVersion(cursor: Cursor): number {
  if (cursor.fileSize < 4 || cursor.uint32('magic number') !== MAGIC) {
    throw new ModelError('NOT_GGUF', 'not a GGUF file: it does not start with "GGUF"')
  }
  const version = cursor.uint32('version')
  if (version === 2 || version === 3) return version
  const bigEndian = (version & 0xffff) === 0
  const found = bigEndian ? 'a big-endian GGUF file' : `GGUF version ${version}`
  throw new ModelError('UNSUPPORTED_VERSION', `${found}, supported are little-endian versions 2 and 3`)
}

function readEntries(cursor: Cursor, count: number): Map<string, GgufEntry> {
  const entries = new Map<string, GgufEntry>()
  for (let i = 0; i < count; i++) {
    const key = cursor.name(`metadata key ${i + 1} of ${count}`, MAX_KEY_BYTES)
    if (entries.has(key)) throw new ModelError('MALFORMED', `metadata ${JSON.stringify(key)} comes twice`)
    entries.set(key, cursor.entry(key))
  }
  return entries
}

function alignmentOf(entries: Map<string, GgufEntry>): number {
  const entry = entries.get('general.alignment')
  if (!entry) return DEFAULT_ALIGNMENT
  const alignment = entry.type === GgufType.uint32 ? new GgufMetadata(entries).count('general.alignment') : undefined
  const fine = alignment !== undefined && alignment > 0 && (alignment & (alignment - 1)) === 0
  if (fine && alignment <= MAX_ALIGNMENT) return alignment
  throw new ModelError('MALFORMED', `general.alignment must be a uint32, a power of two up to ${MAX_ALIGNMENT}`)
}

/** llama.cpp wants the tensors' data in the order of the header, without gaps other than the padding. */
function readTensors(cursor: Cursor, count: number, alignment: number): GgufTensor[] {
  const tensors: GgufTensor[] = []
  const names = new Set<string>()
  let expected = 0
  for (let i = 0; i < count; i++) {
    const tensor = readTensor(cursor, `tensor ${i + 1} of ${count}`)
    const name = JSON.stringify(tensor.name)
    if (names.has(tensor.name)) throw new ModelError('MALFORMED', `tensor ${name} comes twice`)
    if (tensor.offset !== expected) {
      throw new ModelError('MALFORMED', `tensor ${name} is at offset ${tensor.offset}, its place is ${expected}`)
    }
    names.add(tensor.name)
    tensors.push(tensor)
    expected = alignUp(tensor.offset + tensor.size, alignment)
  }
  return tensors
}

function readTensor(cursor: Cursor, where: string): GgufTensor {
  const name = cursor.name(`name of ${where}`, MAX_TENSOR_NAME_BYTES)
  const what = `tensor ${JSON.stringify(name)}`
  const count = cursor.uint32(`number of dimensions of ${what}`)
  if (count < 1 || count > MAX_DIMS) {
    throw new ModelError('ABSURD_SIZE', `${what} has ${count} dimensions, allowed are 1 to ${MAX_DIMS}`)
  }
  const dims = Array.from({ length: count }, () => cursor.uint64(`dimensions of ${what}`))
  const type = cursor.uint32(`type of ${what}`)
  const offset = cursor.uint64(`offset of ${what}`)
  return { name, dims, type, offset, size: tensorBytes({ name, dims, type }) }
}

function checkWithinFile(tensors: GgufTensor[], dataStart: number, fileSize: number): void {
  const last = tensors.at(-1)
  if (!last) return
  const end = dataStart + last.offset + last.size
  if (end <= fileSize) return
  const beyond = tensors.find(tensor => dataStart + tensor.offset + tensor.size > fileSize) ?? last
  throw new ModelError(
    'TRUNCATED',
    `the file has ${fileSize} bytes but its tensors need ${end}: ${JSON.stringify(beyond.name)} is cut off; copy or download it again`
  )
}
