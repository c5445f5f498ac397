import { fromHex } from '../../protocol/bytes.js'
import { flambeau } from '../../protocol/generated/messages.js'
import { encodePiece, decodePiecesRequest } from '../../protocol/pieces.js'
import { PIECES_PROTOCOL } from '../../protocol/ids.js'
import { MAX_PIECES_FRAME_BYTES, MAX_PIECES_REQUEST_BYTES } from '../../protocol/limits.js'
import { readGguf } from '../../node/models/gguf.js'
import { buildManifest } from '../../node/models/manifest.js'
import { ModelStore } from '../../node/models/store.js'
import { createIdentity, type Identity } from '../../node/swarm/identity.js'
import type { Membership } from '../../node/swarm/membership.js'
import { SwarmNode } from '../../node/swarm/swarm.js'
import { serve } from '../../node/swarm/wire.js'
import { temporaryFolder } from './temporary.js'

const AGENT = 'flambeau/test'
const HARDWARE = { backend: 'cpu', device: 'test', threads: 1, memoryBytes: 1e9 }

/** A peer in the test's own process that is a member of a swarm of real nodes and says and does what the test wants. */
export interface SwarmPeer extends AsyncDisposable {
  swarm: SwarmNode
  peer: string
}

/** @param membership of the swarm; its bootstrap addresses are dialled */
export async function swarmPeer(membership: Membership, known?: Identity): Promise<SwarmPeer> {
  const identity = known ?? (await createIdentity())
  const logger = { debug: () => undefined, trace: () => undefined, isLevelEnabled: () => false }
  const settings = { membership, agent: AGENT, listen: ['/ip4/0.0.0.0/tcp/0'], mdns: false, upnp: false }
  const swarm = new SwarmNode({ identity, logger }, settings)
  await swarm.start()
  return { swarm, peer: swarm.peer, [Symbol.asyncDispose]: async () => await swarm.stop() }
}

/** Without the limits that the codec keeps. */
function anyPiece(hash: string, data: Uint8Array): Uint8Array {
  return flambeau.Piece.encode({ hash: fromHex(hash), code: flambeau.StatusCode.OK, data }).finish()
}

/** A peer that offers models which are nothing but a hash, and answers whatever it is asked for with `data`. */
export async function falseOffers(
  membership: Membership,
  manifests: readonly string[],
  data: (manifest: string) => Uint8Array
): Promise<SwarmPeer> {
  const handler = serve(
    async function* (requests) {
      for await (const frame of requests) {
        const { manifest, hashes } = decodePiecesRequest(frame)
        for (const hash of hashes) yield await Promise.resolve(anyPiece(hash, data(manifest)))
      }
    },
    { maxFrameBytes: 2 * MAX_PIECES_FRAME_BYTES, milliseconds: 120_000 }
  )
  const peer = await swarmPeer(membership)
  await peer.swarm.handle(PIECES_PROTOCOL, handler)
  const held = { architecture: 'llama', layers: 8, cuts: [4], pieces: [{ start: 0, end: 8 }], shards: [] }
  const models = manifests.map((manifest, i) => ({ ...held, manifest, name: `false ${i}` }))
  await peer.swarm.announce({ name: 'liar', state: 'online', hardware: HARDWARE, models })
  return peer
}

/** What a holder does with a request for a piece: the right bytes, wrong ones, or nothing at all, ever. */
export type PieceAnswer = 'right' | 'wrong' | 'silence'

export interface PieceHolder extends SwarmPeer {
  /** Hash of the manifest of the model that it offers, hex. */
  manifest: string
  /** Hashes of the model's tensor pieces. */
  tensorPieces: ReadonlySet<string>
  /** Hashes in the order in which they were asked for. */
  asked: string[]
}

export interface OfferedFile {
  file: string
  name: string
  /** Layers before which it may be cut. */
  cuts: number[]
}

/** A peer that offers all layers of a model and answers requests for its pieces as `decide` says. */
export async function pieceHolder(
  membership: Membership,
  { file, name, cuts }: OfferedFile,
  decide: (hash: string) => PieceAnswer
): Promise<PieceHolder> {
  const folder = await temporaryFolder()
  const store = new ModelStore({ root: folder.path })
  await store.start()
  const gguf = await readGguf(file)
  const manifest = await buildManifest({ file, gguf }, { name, cuts })
  const { id } = await store.addShared(manifest, { file, gguf })
  const asked: string[] = []
  const handler = serve(
    async function* (requests, _connection, signal) {
      for await (const frame of requests) {
        for (const hash of decodePiecesRequest(frame).hashes) {
          asked.push(hash)
          const answer = decide(hash)
          if (answer === 'silence') await aborted(signal)
          const data = (await store.readPiece(id, hash)) ?? new Uint8Array(1)
          yield encodePiece({ hash, code: 'OK', data: answer === 'right' ? data : data.map(byte => byte ^ 1) })
        }
      }
    },
    { maxFrameBytes: Math.max(MAX_PIECES_FRAME_BYTES, MAX_PIECES_REQUEST_BYTES), milliseconds: 120_000 }
  )
  const peer = await swarmPeer(membership)
  await peer.swarm.handle(PIECES_PROTOCOL, handler)
  const { architecture, layers } = manifest
  const held = { manifest: id, name, architecture, layers, cuts, pieces: [{ start: 0, end: layers }], shards: [] }
  await peer.swarm.announce({ name: 'holder', state: 'online', hardware: HARDWARE, models: [held] })
  return {
    ...peer,
    manifest: id,
    tensorPieces: new Set(manifest.tensors.flatMap(({ data }) => data.pieces)),
    asked,
    async [Symbol.asyncDispose]() {
      await peer[Symbol.asyncDispose]()
      await folder.remove()
    }
  }
}

function aborted(signal: AbortSignal): Promise<never> {
  const { promise, reject } = Promise.withResolvers<never>()
  signal.addEventListener('abort', () => reject(new Error('the stream is over')), { once: true })
  return promise
}
