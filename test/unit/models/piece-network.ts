import type { Connection, Stream } from '@libp2p/interface'
import { readGguf } from '../../../node/models/gguf.js'
import { buildManifest, manifestId } from '../../../node/models/manifest.js'
import type { OpenPieceStream } from '../../../node/models/piece-request.js'
import { PieceServer, type PieceServerSettings } from '../../../node/models/piece-server.js'
import { ModelStore } from '../../../node/models/store.js'
import type { Manifest } from '../../../node/models/types.js'
import type { TemporaryFolder } from '../../support/temporary.js'
import { yamuxPair } from '../swarm/stream-pair.js'

export type Handler = (stream: Stream, connection: Connection) => Promise<void>

/** Peers by name, each with a handler for piece streams; every stream is a real Yamux stream in memory. */
export class PieceNetwork {
  readonly handlers = new Map<string, Handler>()
  /** Streams opened to each peer. */
  readonly opened = new Map<string, number>()
  private readonly streams: Stream[] = []

  readonly openStream: OpenPieceStream = async peer => {
    const handler = this.handlers.get(peer)
    if (!handler) throw new Error(`${peer} cannot be dialled`)
    this.opened.set(peer, (this.opened.get(peer) ?? 0) + 1)
    const [near, far] = await yamuxPair()
    this.streams.push(near, far)
    const connection = { remotePeer: { toString: () => 'fetcher' } } as unknown as Connection
    // As libp2p does with a handler that fails.
    handler(far, connection).catch((error: unknown) => far.abort(error as Error))
    return near
  }

  close(): void {
    for (const stream of this.streams) stream.abort(new Error('test over'))
  }

  serve(peer: string, store: ModelStore, settings: Partial<PieceServerSettings> = {}): PieceServer {
    const server = new PieceServer({ store }, settings)
    this.handlers.set(peer, server.handle)
    return server
  }
}

export interface SharedModel {
  store: ModelStore
  manifest: Manifest
  id: string
}

/** A store in `folder` that shares `file`. */
export async function sharingStore(folder: TemporaryFolder, file: string): Promise<SharedModel> {
  const store = await emptyStore(folder, 'sharing')
  const gguf = await readGguf(file)
  const manifest = await buildManifest({ file, gguf }, { cuts: [2, 4, 6] })
  await store.addShared(manifest, { file, gguf })
  return { store, manifest, id: manifestId(manifest) }
}

export async function emptyStore(folder: TemporaryFolder, name: string): Promise<ModelStore> {
  const store = new ModelStore({ root: folder.file(name) })
  await store.start()
  return store
}
