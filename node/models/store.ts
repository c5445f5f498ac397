import { mkdir, readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { decodeManifest, encodeManifest } from '../../protocol/manifest.js'
import { asError } from '../../protocol/errors.js'
import { removeLeftComparisons } from './comparison-folder.js'
import { checkSpace, type FreeBytes, freeBytes } from './disk-space.js'
import { ModelError } from './errors.js'
import { diskBytesOf, moveIntoPlace, sizeOf, writeAll, writeDurably } from './files.js'
import { type Gguf, parseGguf } from './gguf.js'
import { sha256 } from './hash.js'
import { checkHeader, checkTensors, headerBytes, piecesOf } from './manifest.js'
import { loadEntry } from './load-entry.js'
import { ModelEntry, rangeName } from './model-entry.js'
import { type ShardPlan, storedBytes } from './shard.js'
import { type ModelFile, writeShard } from './shard-writer.js'
import { recordOf, SourceFile } from './source-file.js'
import type { LayerRange, Manifest, StoredModel } from './types.js'

export interface ModelStoreSettings {
  /** The folder of all models; one folder a model, named by its id. */
  root: string
  /** The file system's answer by default. */
  freeBytes?: FreeBytes
}

/** A folder in the store that is no usable model. */
export interface DamagedModel {
  folder: string
  reason: string
}

/**
 * Models on disk: manifests, headers, shards, and the owner's shared files where they are. A file appears under its name
 * only when it is complete, so a crash leaves nothing that could be mistaken for one.
 */
export class ModelStore {
  private readonly root: string
  private readonly freeBytes: FreeBytes
  private readonly entries = new Map<string, ModelEntry>()
  private readonly writing = new Map<string, Promise<string>>()
  private damagedModels: DamagedModel[] = []

  constructor({ root, freeBytes: free = freeBytes }: ModelStoreSettings) {
    this.root = root
    this.freeBytes = free
  }

  /** Reads what is there and deletes what a crash left half written; partly fetched shards stay, to be resumed. */
  async start(): Promise<void> {
    await mkdir(this.root, { recursive: true, mode: 0o700 })
    this.entries.clear()
    this.damagedModels = []
    await removeLeftComparisons(this.root)
    for (const id of (await readdir(this.root)).filter(isId)) {
      try {
        const entry = await loadEntry(id, join(this.root, id))
        this.entries.set(id, entry)
      } catch (error) {
        this.damagedModels.push({ folder: join(this.root, id), reason: asError(error).message })
      }
    }
  }

  list(): StoredModel[] {
    return [...this.entries.values()].map(entry => entry.describe())
  }

  get(id: string): StoredModel | undefined {
    return this.entries.get(id)?.describe()
  }

  /** What `start()` could not read; left alone, for the owner to look at. */
  damaged(): readonly DamagedModel[] {
    return this.damagedModels
  }

  /** Why the file that the owner shared cannot be used any more; undefined while it can, or where none was shared. */
  async sourceProblem(id: string): Promise<string | undefined> {
    return this.entries.get(id)?.source?.problem()
  }

  /** Keeps a model that the owner shares; its file stays where it is. */
  async addShared(manifest: Manifest, model: ModelFile): Promise<StoredModel> {
    const entry = await this.addEntry(encodeManifest(manifest))
    await this.writeHeader(entry, headerBytes(model.gguf))
    const record = await recordOf(model.file)
    await writeFileDurably(entry.sourceRecordFile, Buffer.from(JSON.stringify(record)))
    entry.source = new SourceFile(record)
    return entry.describe()
  }

  /**
   * Keeps a manifest that came from somewhere.
   * @throws ModelError BAD_MANIFEST when it does not have the hash `id` or describes what cannot be; ProtocolError
   */
  async addManifest(bytes: Uint8Array, id: string): Promise<StoredModel> {
    const found = sha256(bytes)
    if (found !== id) throw new ModelError('BAD_MANIFEST', `the manifest has the hash ${found}, not ${id}`)
    return (await this.addEntry(bytes)).describe()
  }

  /** Keeps a model's header. @throws ModelError UNKNOWN_MODEL, BAD_MANIFEST when it is not the header of this model. */
  async addHeader(id: string, bytes: Uint8Array): Promise<StoredModel> {
    const entry = this.entry(id)
    await this.writeHeader(entry, bytes)
    return entry.describe()
  }

  /** The model's metadata and tokenizer. @throws ModelError UNKNOWN_MODEL, NOT_HELD */
  async header(id: string): Promise<Gguf> {
    return this.entry(id).header()
  }

  /** How the shard of `range` is laid out. @throws ModelError UNKNOWN_MODEL, NOT_HELD, BAD_RANGE */
  async plan(id: string, range: LayerRange): Promise<ShardPlan> {
    return this.entry(id).plan(range)
  }

  /**
   * A complete file of layers `range`: the owner's file for the whole model, a shard that was fetched, or one that is
   * written now from the owner's file.
   * @throws ModelError UNKNOWN_MODEL, BAD_RANGE, SOURCE_CHANGED, DISK_FULL; NOT_HELD when the pieces must be fetched first
   */
  async shardFile(id: string, range: LayerRange, options: { signal?: AbortSignal } = {}): Promise<string> {
    const entry = this.entry(id)
    const whole = range.start === 0 && range.end === entry.manifest.layers
    if (whole && entry.source && (await entry.source.problem()) === undefined) return entry.source.record.path
    if (await hasShard(entry, range)) return entry.shardFile(range)
    if (entry.source) return this.writeFromSource(entry, entry.source, range, options)
    throw new ModelError('NOT_HELD', `layers ${rangeName(range)} of ${entry.manifest.name} are not here yet`)
  }

  /** Makes sure that a file from `shardFile` is still what it was. @throws ModelError SOURCE_CHANGED */
  async checkFile(id: string, file: string): Promise<void> {
    const source = this.entries.get(id)?.source
    if (source?.record.path === file) await source.check()
  }

  /**
   * Where the fetched pieces of a shard are put until `commitPartial` or `leavePartial`; its folder exists.
   * @throws ModelError UNKNOWN_MODEL, NOT_HELD, BAD_RANGE, DISK_FULL
   */
  async partialFile(id: string, range: LayerRange): Promise<string> {
    const entry = this.entry(id)
    const file = entry.partialFile(range)
    await mkdir(entry.shardFolder, { recursive: true, mode: 0o700 })
    const missing = storedBytes(await entry.plan(range)) - (await diskBytesOf(file))
    await checkSpace(`fetching layers ${rangeName(range)}`, entry.shardFolder, missing, this.freeBytes)
    entry.partials.delete(rangeName(range)) // its pieces are the caller's now
    return file
  }

  /** Turns the (complete, synced) partial file of `range` into a shard; what earlier fetches of other ranges left goes. */
  async commitPartial(id: string, range: LayerRange): Promise<string> {
    const entry = this.entry(id)
    const file = entry.shardFile(range)
    await moveIntoPlace(entry.partialFile(range), file)
    entry.shards.set(rangeName(range), range)
    for (const [name, other] of entry.partials) {
      entry.partials.delete(name)
      await rm(entry.partialFile(other), { force: true })
    }
    return file
  }

  /** Ends an interrupted fetch of `range`: what came is used by the next fetch, of this range or another one. */
  leavePartial(id: string, range: LayerRange): void {
    this.entries.get(id)?.partials.set(rangeName(range), range)
  }

  /**
   * A piece of the model (or the manifest, under its own hash), checked against its hash; undefined when it is not here.
   */
  async readPiece(id: string, hash: string): Promise<Uint8Array | undefined> {
    const entry = this.entries.get(id)
    if (!entry) return undefined
    // As it came: what a later version has put into it must not get lost.
    return hash === id ? readFile(entry.manifestFile) : entry.readPiece(hash)
  }

  /** Layers whose pieces can be had here, one range for each file. */
  async heldRanges(id: string): Promise<LayerRange[]> {
    const entry = this.entries.get(id)
    if (!entry) return []
    const usable = entry.source && (await entry.source.problem()) === undefined
    return [...(usable ? [entry.whole] : []), ...entry.shards.values()]
  }

  /** Deletes a shard, complete or partly fetched. */
  async removeShard(id: string, range: LayerRange): Promise<void> {
    const entry = this.entry(id)
    entry.shards.delete(rangeName(range))
    entry.partials.delete(rangeName(range))
    await rm(entry.shardFile(range), { force: true })
    await rm(entry.partialFile(range), { force: true })
  }

  /** Forgets a model and deletes its files, but never the owner's shared file. */
  async remove(id: string): Promise<void> {
    const entry = this.entry(id)
    this.entries.delete(id)
    await rm(entry.folder, { recursive: true, force: true })
  }

  /** Bytes that the model takes on the disk, less the owner's shared file. @throws ModelError UNKNOWN_MODEL */
  async diskBytes(id: string): Promise<number> {
    const { folder } = this.entry(id)
    const names = await readdir(folder, { recursive: true, withFileTypes: true })
    const files = names.filter(name => name.isFile()).map(name => diskBytesOf(join(name.parentPath, name.name)))
    return (await Promise.all(files)).reduce((sum, bytes) => sum + bytes, 0)
  }

  private entry(id: string): ModelEntry {
    const entry = this.entries.get(id)
    if (!entry) throw new ModelError('UNKNOWN_MODEL', `there is no model ${id} in the store`, { details: { id } })
    return entry
  }

  private async addEntry(bytes: Uint8Array): Promise<ModelEntry> {
    const id = sha256(bytes)
    const known = this.entries.get(id)
    if (known) return known
    const manifest = decodeManifest(bytes)
    checkTensors(manifest)
    const entry = new ModelEntry(id, join(this.root, id), manifest)
    await mkdir(entry.shardFolder, { recursive: true, mode: 0o700 })
    await writeFileDurably(entry.manifestFile, bytes)
    const meanwhile = this.entries.get(id)
    if (meanwhile) return meanwhile
    this.entries.set(id, entry)
    return entry
  }

  private async writeHeader(entry: ModelEntry, bytes: Uint8Array): Promise<void> {
    if (entry.hasHeader) return
    checkHeaderBytes(entry.manifest, bytes)
    await writeFileDurably(entry.headerFile, bytes)
    entry.hasHeader = true
  }

  /** Two callers who want the same shard wait for one writer. */
  private writeFromSource(
    entry: ModelEntry,
    source: SourceFile,
    range: LayerRange,
    options: { signal?: AbortSignal }
  ): Promise<string> {
    const file = entry.shardFile(range)
    const running = this.writing.get(file)
    if (running) return running
    const write = async (): Promise<string> => {
      try {
        const model = { file: source.record.path, gguf: await source.gguf() }
        await writeShard(model, range, file, {
          ...options,
          beforeCommit: () => source.check(),
          freeBytes: this.freeBytes
        })
        entry.shards.set(rangeName(range), range)
        return file
      } finally {
        this.writing.delete(file)
      }
    }
    const writing = write()
    this.writing.set(file, writing)
    return writing
  }
}

function isId(name: string): boolean {
  return /^[0-9a-f]{64}$/.test(name)
}

/** A shard whose file is gone or has another size than its plan is forgotten. */
async function hasShard(entry: ModelEntry, range: LayerRange): Promise<boolean> {
  const name = rangeName(range)
  if (!entry.shards.has(name)) return false
  const { fileBytes } = await entry.plan(range)
  if ((await sizeOf(entry.shardFile(range))) === fileBytes) return true
  entry.shards.delete(name)
  return false
}

/** @throws ModelError BAD_MANIFEST */
function checkHeaderBytes(manifest: Manifest, bytes: Uint8Array): void {
  const { size, pieces } = manifest.header
  const wrong = piecesOf(bytes.length, manifest.pieceBytes).some(
    ({ start, length }, i) => sha256(bytes.subarray(start, start + length)) !== pieces[i]
  )
  if (wrong || bytes.length !== size) throw new ModelError('BAD_MANIFEST', 'the header is not the one of the manifest')
  const gguf = parseGguf(bytes, bytes.length)
  if (gguf.dataStart !== bytes.length) throw new ModelError('BAD_MANIFEST', 'there is more behind the header')
  checkHeader(manifest, gguf)
}

async function writeFileDurably(file: string, bytes: Uint8Array): Promise<void> {
  await writeDurably(file, handle => writeAll(handle, bytes, 0))
}
