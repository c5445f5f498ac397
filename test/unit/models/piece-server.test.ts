import type { Connection, Stream } from '@libp2p/interface'
import { pipe } from 'it-pipe'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { MAX_PIECES_FRAME_BYTES } from '../../../protocol/limits.js'
import { decodePiece, encodePiecesRequest, type Piece } from '../../../protocol/pieces.js'
import { PieceServer } from '../../../node/models/piece-server.js'
import { call, encoder, writeTo } from '../../../node/swarm/wire.js'
import { PIECES_LIMITS } from '../../../node/trust/constants.js'
import { Trust } from '../../../node/trust/trust.js'
import { EMBER } from '../../support/models.js'
import { temporaryFolder, type TemporaryFolder } from '../../support/temporary.js'
import { waitFor } from '../../support/wait-for.js'
import { yamuxPair } from '../swarm/stream-pair.js'
import { type SharedModel, sharingStore } from './piece-network.js'

let folder: TemporaryFolder
let shared: SharedModel
const streams: Stream[] = []

beforeEach(async () => {
  folder = await temporaryFolder()
  shared = await sharingStore(folder, EMBER)
})

afterEach(async () => {
  for (const stream of streams.splice(0)) stream.abort(new Error('test over'))
  await folder.remove()
})

async function connect(server: PieceServer, peer = 'somebody'): Promise<{ stream: Stream; served: Promise<void> }> {
  const [near, far] = await yamuxPair()
  streams.push(near, far)
  const connection = { remotePeer: { toString: () => peer } } as unknown as Connection
  const served = server.handle(far, connection)
  served.catch(() => undefined) // not every test waits for it
  return { stream: near, served }
}

async function ask(stream: Stream, hashes: string[], manifest = shared.id): Promise<Piece[]> {
  const pieces: Piece[] = []
  const options = { maxFrameBytes: MAX_PIECES_FRAME_BYTES }
  for await (const frame of call(stream, encodePiecesRequest({ manifest, hashes }), options)) {
    pieces.push(decodePiece(frame))
  }
  return pieces
}

const hashes = (): string[] => shared.manifest.tensors.flatMap(({ data }) => data.pieces).slice(0, 5)

describe('PieceServer', () => {
  it('answers in the order asked, with the pieces that it has', async () => {
    const server = new PieceServer(shared)
    const { stream, served } = await connect(server)
    const asked = [...hashes(), 'aa'.repeat(32), shared.id]
    const pieces = await ask(stream, asked)
    await served
    expect(pieces.map(({ hash }) => hash)).toEqual(asked)
    expect(pieces.map(({ code }) => code)).toEqual([...Array<string>(5).fill('OK'), 'UNKNOWN_MODEL', 'OK'])
    expect(server.counters.pieces).toBe(6)
  })

  it('knows no piece of a model that it does not know', async () => {
    const { stream } = await connect(new PieceServer(shared))
    const pieces = await ask(stream, hashes(), 'bb'.repeat(32))
    expect(new Set(pieces.map(({ code }) => code))).toEqual(new Set(['UNKNOWN_MODEL']))
  })

  it('tells a peer with too many streams that it is busy, while others are served', async () => {
    const server = new PieceServer(shared, { maxStreamsOfPeer: 1 })
    const first = await connect(server, 'greedy')
    const second = await connect(server, 'greedy')
    const other = await connect(server, 'modest')
    const codes = async (stream: Stream): Promise<string[]> => (await ask(stream, hashes())).map(({ code }) => code)
    expect(await codes(second.stream)).toEqual(Array<string>(5).fill('BUSY'))
    expect(await codes(other.stream)).toEqual(Array<string>(5).fill('OK'))
    expect(await codes(first.stream)).toEqual(Array<string>(5).fill('OK'))
    await Promise.all([first.served, second.served, other.served])
    const again = await connect(server, 'greedy')
    expect(await codes(again.stream)).toEqual(Array<string>(5).fill('OK'))
  })

  it('tells a peer that asks too often that it is busy, and counts it', async () => {
    const trust = new Trust({ now: () => 0 })
    for (let asked = 0; asked < PIECES_LIMITS.burst; asked++) trust.enter('greedy', 'pieces')?.[Symbol.dispose]()
    const server = new PieceServer({ store: shared.store, trust })
    const codes = async (peer: string): Promise<string[]> =>
      (await ask((await connect(server, peer)).stream, hashes())).map(({ code }) => code)
    expect(await codes('greedy')).toEqual(Array<string>(5).fill('BUSY'))
    expect(await codes('modest')).toEqual(Array<string>(5).fill('OK'))
    expect(trust.refused).toEqual({ TOO_MANY: 1 })
  })

  it('gives up on a stream without a whole request, and frees its place', async () => {
    const server = new PieceServer(shared, { requestMilliseconds: 50, maxStreams: 1 })
    const { stream, served } = await connect(server)
    stream.send(Uint8Array.of(100, 1, 2)) // 100 bytes are promised
    await expect(served).rejects.toMatchObject({ code: 'DEADLINE' })
    expect(await ask((await connect(server)).stream, hashes())).toHaveLength(5)
  })

  it('resets a stream with a request that is none', async () => {
    const server = new PieceServer(shared)
    const { stream, served } = await connect(server)
    const serving = served.then(
      () => 'served',
      () => 'refused'
    )
    const reading = async (): Promise<void> => {
      for await (const frame of call(stream, new Uint8Array(100), { maxFrameBytes: 1000 })) expect(frame).toBeUndefined()
    }
    await expect(reading()).rejects.toThrow()
    expect(await serving).toBe('refused')
  })

  it('gives up on a peer that does not read, and frees its place', async () => {
    const server = new PieceServer(shared, { milliseconds: 100, maxStreams: 1 })
    const { served } = await connect(server)
    await expect(served).rejects.toThrow('took longer')
    const { stream } = await connect(server)
    expect((await ask(stream, hashes())).map(({ code }) => code)).toContain('OK')
  })

  it('reads pieces only as fast as they are taken', async () => {
    let reads = 0
    const piece = new Uint8Array(2 ** 20)
    const store = { get: () => undefined, readPiece: () => Promise.resolve((reads++, piece)) }
    const { stream } = await connect(new PieceServer({ store }))
    stream.pause()
    const request = encodePiecesRequest({ manifest: shared.id, hashes: Array<string>(64).fill(shared.id) })
    await pipe([request], encoder(MAX_PIECES_FRAME_BYTES), writeTo(stream))
    await waitFor(() => reads > 0)
    const settled = await steady(() => reads)
    expect(settled).toBeLessThan(24)
  })
})

/** The value once it has not changed for a while. */
async function steady(value: () => number): Promise<number> {
  let last = -1
  let same = 0
  await waitFor(() => {
    same = value() === last ? same + 1 : 0
    last = value()
    return same > 10
  })
  return last
}
