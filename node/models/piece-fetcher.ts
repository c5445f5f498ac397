import { type FileHandle, open } from 'node:fs/promises'
import { ProtocolError } from '../../protocol/protocol-error.js'
import { ModelError } from './errors.js'
import { type BadPiece, FETCH_DEFAULTS, type FetchJob, fetchPieces, type FetchSettings, type PieceHolder } from './fetch-pieces.js'
import { writeAll } from './files.js'
import { sha256 } from './hash.js'
import { piecesOf } from './manifest.js'
import type { WantedPiece } from './piece-queue.js'
import type { OpenPieceStream } from './piece-request.js'
import { wantedOf, type ShardPiece } from './shard-pieces.js'
import { tensorsOf } from './sizes.js'
import type { ModelStore } from './store.js'
import { checkRange, isRange } from './tensors.js'
import type { FetchProgress, LayerRange, Manifest, StoredModel } from './types.js'

/** A peer and the layers whose pieces it has. */
export interface RangeHolder {
  peer: string
  ranges: LayerRange[]
}

export interface FetchOptions {
  /** The model: its manifest's hash, hex. */
  id: string
  /** Peers that have (parts of) the model, this node not among them; asked again while fetching. */
  holders: () => RangeHolder[]
  /** Told of a peer that sent wrong bytes; it is not asked again in this fetch. */
  onBadPiece?: (bad: BadPiece) => void
  signal?: AbortSignal
}

export interface FetchRangeOptions extends FetchOptions {
  range: LayerRange
  /** Of the tensors' pieces, in bytes; what was there already counts. */
  onProgress?: (progress: FetchProgress) => void
}

interface Collaborators {
  store: ModelStore
  openStream: OpenPieceStream
}

/**
 * Gets models from peers: the manifest by its hash, the header, and only those pieces that a layer range needs. Nothing
 * that came from a peer is used before its hash was checked.
 */
export class PieceFetcher {
  private readonly store: ModelStore
  private readonly openStream: OpenPieceStream
  private readonly settings: FetchSettings
  private readonly running = new Set<string>()

  constructor({ store, openStream }: Collaborators, settings: Partial<FetchSettings> = {}) {
    this.store = store
    this.openStream = openStream
    this.settings = { ...FETCH_DEFAULTS, ...settings }
  }

  /** @throws ModelError PIECES_UNAVAILABLE, BAD_MANIFEST */
  async fetchManifest(options: FetchOptions): Promise<StoredModel> {
    const known = this.store.get(options.id)
    if (known) return known
    let [bytes, sender] = [new Uint8Array(0), '']
    const piece: WantedPiece = { hash: options.id, size: undefined, tensors: [] }
    await this.fetch([piece], options, (_, data, peer) => {
      ;[bytes, sender] = [new Uint8Array(data), peer]
    })
    try {
      return await this.store.addManifest(bytes, options.id)
    } catch (error) {
      if (isLie(error)) options.onBadPiece?.({ peer: sender, hash: options.id, isLie: true })
      throw error
    }
  }

  /** The manifest, and the header with metadata and tokenizer. @throws ModelError PIECES_UNAVAILABLE, BAD_MANIFEST */
  async fetchHeader(options: FetchOptions): Promise<StoredModel> {
    const model = await this.fetchManifest(options)
    if (model.headerFile !== undefined) return model
    const { header, pieceBytes } = model.manifest
    const bytes = new Uint8Array(header.size)
    const places = piecesOf(header.size, pieceBytes)
    const pieces = header.pieces.map((hash, i) => ({ hash, size: places[i]?.length, tensors: [] }))
    await this.fetch(pieces, options, ({ hash }, data) => {
      header.pieces.forEach((other, i) => {
        if (other === hash) bytes.set(data, places[i]?.start)
      })
    })
    return this.store.addHeader(options.id, bytes)
  }

  /**
   * The file of layers `range`, fetched unless it is here. What an earlier, interrupted fetch left is checked and used.
   * @throws ModelError PIECES_UNAVAILABLE, BAD_MANIFEST, BAD_RANGE, ALREADY_FETCHING, DISK_FULL,
   * SOURCE_CHANGED where nobody else has it; the signal's reason.
   */
  async fetchRange(options: FetchRangeOptions): Promise<string> {
    const { id, range, signal } = options
    const { manifest } = await this.fetchHeader(options)
    checkRange(range, manifest.layers)
    let notHere: ModelError
    try {
      return await this.store.shardFile(id, range, signal ? { signal } : {})
    } catch (error) {
      if (!(error instanceof ModelError) || !['NOT_HELD', 'SOURCE_CHANGED'].includes(error.code)) throw error
      notHere = error
    }
    const key = `${id} ${range.start}-${range.end}`
    if (this.running.has(key)) {
      throw new ModelError('ALREADY_FETCHING', `layers ${range.start}-${range.end} are being fetched already`)
    }
    this.running.add(key)
    try {
      return await this.fetchPartial(manifest, options)
    } catch (error) {
      // The owner can do something about a shared file that is gone, and nothing about peers.
      const sourceIsGone = notHere.code === 'SOURCE_CHANGED' && isUnavailable(error)
      throw sourceIsGone ? notHere : error
    } finally {
      this.running.delete(key)
    }
  }

  private async fetchPartial(manifest: Manifest, options: FetchRangeOptions): Promise<string> {
    const { id, range } = options
    const file = await this.store.partialFile(id, range)
    try {
      await this.fillPartial(file, manifest, options)
      return await this.store.commitPartial(id, range)
    } catch (error) {
      this.store.leavePartial(id, range)
      throw error
    }
  }

  private async fillPartial(file: string, manifest: Manifest, options: FetchRangeOptions): Promise<void> {
    const { id, range, signal } = options
    const plan = await this.store.plan(id, range)
    const wanted = wantedOf(manifest, plan)
    const progress = new Progress(wanted, options.onProgress)
    await using handle = await openPartial(file)
    const resumed = (await handle.stat()).size > 0
    await writeAll(handle, plan.header, 0)
    await handle.truncate(plan.fileBytes)
    const missing: ShardPiece[] = []
    for (const piece of wanted) {
      signal?.throwIfAborted()
      const here = (resumed && (await hasPiece(handle, piece))) || (await this.copyHere(id, handle, piece))
      if (here) progress.add(piece)
      else missing.push(piece)
    }
    await this.fetch(missing, options, async (piece, data) => {
      for (const place of piece.places) await writeAll(handle, data, place)
      progress.add(piece)
    })
    await handle.sync()
  }

  /** Takes the piece from another file of the store; false when none has it. */
  private async copyHere(id: string, handle: FileHandle, piece: ShardPiece): Promise<boolean> {
    const data = await this.store.readPiece(id, piece.hash)
    if (!data) return false
    for (const place of piece.places) await writeAll(handle, data, place)
    return true
  }

  private async fetch<P extends WantedPiece>(
    pieces: P[],
    { id, holders, onBadPiece, signal }: FetchOptions,
    onPiece: FetchJob<P>['onPiece']
  ): Promise<void> {
    if (pieces.length === 0) return
    const tensors = new TensorsOfHolders(this.store.get(id)?.manifest)
    const job = {
      manifest: id,
      pieces,
      holders: (): PieceHolder<P>[] =>
        holders().map(({ peer, ranges }) => ({ peer, has: piece => tensors.cover(ranges, piece) })),
      openStream: this.openStream,
      onPiece,
      onBadPiece,
      signal
    }
    await fetchPieces(job, this.settings)
  }
}

/** Which tensors the holder of a range has, worked out once for each range. */
class TensorsOfHolders {
  private readonly manifest: Manifest | undefined
  private readonly byRange = new Map<string, ReadonlySet<string>>()

  constructor(manifest: Manifest | undefined) {
    this.manifest = manifest
  }

  /** Manifest and header (no tensors) are with every holder. */
  cover(ranges: readonly LayerRange[], { tensors }: WantedPiece): boolean {
    return tensors.length === 0 || ranges.some(range => tensors.some(tensor => this.of(range).has(tensor)))
  }

  private of(range: LayerRange): ReadonlySet<string> {
    const name = `${range.start}-${range.end}`
    const known = this.byRange.get(name)
    if (known) return known
    const names = new Set(this.manifest ? namesOf(this.manifest, range) : [])
    this.byRange.set(name, names)
    return names
  }
}

/** A manifest that nobody keeps who has read it: not one of a version, or with a tensor type, that is only new here. */
function isLie(error: unknown): boolean {
  if (error instanceof ProtocolError) return error.code !== 'UNSUPPORTED'
  return error instanceof ModelError && error.code === 'BAD_MANIFEST' && error.cause === undefined
}

function isUnavailable(error: unknown): boolean {
  return error instanceof ModelError && error.code === 'PIECES_UNAVAILABLE'
}

/** A peer that claims layers which the model does not have has none of them. */
function namesOf(manifest: Manifest, range: LayerRange): string[] {
  return isRange(range, manifest.layers) ? tensorsOf(manifest, range).map(({ name }) => name) : []
}

/** For reading and writing, created where it is missing, what is in it kept. */
async function openPartial(file: string): Promise<FileHandle> {
  const created = await open(file, 'a', 0o600)
  await created.close()
  return open(file, 'r+')
}

async function hasPiece(handle: FileHandle, { hash, size, places }: ShardPiece): Promise<boolean> {
  const buffer = new Uint8Array(size)
  for (const place of places) {
    const { bytesRead } = await handle.read(buffer, 0, size, place)
    if (bytesRead !== size || sha256(buffer) !== hash) return false
  }
  return true
}

class Progress {
  private readonly state: FetchProgress
  private readonly report: ((progress: FetchProgress) => void) | undefined

  constructor(pieces: readonly ShardPiece[], report: ((progress: FetchProgress) => void) | undefined) {
    const totalBytes = pieces.reduce((sum, { size }) => sum + size, 0)
    this.state = { bytes: 0, totalBytes, pieces: 0, totalPieces: pieces.length }
    this.report = report
  }

  add({ size }: ShardPiece): void {
    this.state.bytes += size
    this.state.pieces += 1
    this.report?.({ ...this.state })
  }
}
