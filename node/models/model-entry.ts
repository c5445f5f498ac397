import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { asError } from '../../protocol/errors.js'
import { ModelError } from './errors.js'
import { readFully } from './files.js'
import { type Gguf, readGguf } from './gguf.js'
import { sha256 } from './hash.js'
import { indexPieces, type PiecePlace } from './piece-index.js'
import { planShard, type ShardPlan } from './shard.js'
import type { SourceFile } from './source-file.js'
import type { LayerRange, Manifest, StoredModel } from './types.js'

/** Bytes of a file in which a piece lies. */
interface Location {
  file: string
  position: number
}

export const rangeName = ({ start, end }: LayerRange): string => `${start}-${end}`

/** One model of the store: what is known of it, and where its bytes are. */
export class ModelEntry {
  readonly id: string
  readonly folder: string
  readonly manifest: Manifest
  source: SourceFile | undefined
  hasHeader = false
  readonly shards = new Map<string, LayerRange>()
  /** What interrupted fetches left. */
  readonly partials = new Map<string, LayerRange>()
  private headerGguf: Promise<Gguf> | undefined
  private index: ReadonlyMap<string, readonly PiecePlace[]> | undefined
  private readonly plans = new Map<string, Promise<ShardPlan>>()

  constructor(id: string, folder: string, manifest: Manifest) {
    this.id = id
    this.folder = folder
    this.manifest = manifest
  }

  get manifestFile(): string {
    return join(this.folder, 'manifest')
  }

  get headerFile(): string {
    return join(this.folder, 'header.gguf')
  }

  get sourceRecordFile(): string {
    return join(this.folder, 'source.json')
  }

  get shardFolder(): string {
    return join(this.folder, 'shards')
  }

  shardFile(range: LayerRange): string {
    return join(this.shardFolder, `${rangeName(range)}.gguf`)
  }

  partialFile(range: LayerRange): string {
    return `${this.shardFile(range)}.partial`
  }

  get whole(): LayerRange {
    return { start: 0, end: this.manifest.layers }
  }

  describe(): StoredModel {
    return {
      id: this.id,
      manifest: this.manifest,
      headerFile: this.hasHeader ? this.headerFile : undefined,
      sourceFile: this.source?.record.path,
      shards: [...this.shards.values()].map(range => ({ range, file: this.shardFile(range) }))
    }
  }

  /** The parsed header. @throws ModelError NOT_HELD */
  header(): Promise<Gguf> {
    if (!this.hasHeader) throw new ModelError('NOT_HELD', `the header of ${this.manifest.name} is not here yet`)
    this.headerGguf ??= readGguf(this.headerFile)
    this.headerGguf.catch(() => (this.headerGguf = undefined)) // read again next time
    return this.headerGguf
  }

  /** How the shard of `range` is laid out. @throws ModelError NOT_HELD, BAD_RANGE, BAD_METADATA */
  plan(range: LayerRange): Promise<ShardPlan> {
    const name = rangeName(range)
    const known = this.plans.get(name)
    if (known) return known
    const { tensors, alignment } = this.manifest
    const plan = Promise.resolve(this.header()).then(({ metadata }) =>
      planShard({ metadata, tensors, alignment }, range)
    )
    this.plans.set(name, plan)
    plan.catch(() => this.plans.delete(name))
    return plan
  }

  /** A piece's bytes, checked; undefined when no file here has it. */
  async readPiece(hash: string): Promise<Uint8Array | undefined> {
    this.index ??= indexPieces(this.manifest)
    for (const place of this.index.get(hash) ?? []) {
      for await (const { file, position } of this.locate(place)) {
        const bytes = await readAt(file, position, place.length)
        if (bytes && sha256(bytes) === hash) return bytes
      }
    }
    return undefined
  }

  private async *locate({ tensor, start }: PiecePlace): AsyncGenerator<Location> {
    if (tensor === undefined) {
      if (this.hasHeader) yield { file: this.headerFile, position: start }
      return
    }
    if (this.source && (await this.source.problem()) === undefined) {
      const { tensors, dataStart } = await this.source.gguf()
      const found = tensors.find(({ name }) => name === tensor)
      if (found) yield { file: this.source.record.path, position: dataStart + found.offset + start }
    }
    for (const { file, range } of this.rangeFiles()) {
      const { tensors } = await this.plan(range)
      const found = tensors.find(({ source, hole }) => source === tensor && !hole)
      if (found) yield { file, position: found.offset + start }
    }
  }

  /** The complete ones first: what a partial file lacks reads as zeros, which the hash tells. */
  private rangeFiles(): { file: string; range: LayerRange }[] {
    const shards = [...this.shards.values()].map(range => ({ file: this.shardFile(range), range }))
    return [...shards, ...[...this.partials.values()].map(range => ({ file: this.partialFile(range), range }))]
  }
}

/** Undefined when the file is gone or too short: then the piece is not there. */
async function readAt(file: string, position: number, length: number): Promise<Uint8Array | undefined> {
  try {
    await using handle = await open(file, 'r')
    return await readFully(handle, position, length)
  } catch (error) {
    const { code } = asError(error) as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'TRUNCATED') return undefined
    throw error
  }
}
