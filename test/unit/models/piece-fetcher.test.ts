import { createHash } from 'node:crypto'
import { copyFile, open, readdir, readFile, rm } from 'node:fs/promises'
import { basename, dirname } from 'node:path'
import { pipe } from 'it-pipe'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { encodeManifest, type ManifestTensor } from '../../../protocol/manifest.js'
import { decodePiecesRequest, encodePiece, type Piece } from '../../../protocol/pieces.js'
import type { BadPiece } from '../../../node/models/fetch-pieces.js'
import { readGguf } from '../../../node/models/gguf.js'
import { sha256 } from '../../../node/models/hash.js'
import { PieceFetcher, type RangeHolder } from '../../../node/models/piece-fetcher.js'
import { rangeBytes } from '../../../node/models/sizes.js'
import { ModelStore } from '../../../node/models/store.js'
import type { FetchProgress, LayerRange } from '../../../node/models/types.js'
import { decoder, encoder, readFrom, writeTo } from '../../../node/swarm/wire.js'
import { EMBER } from '../../support/models.js'
import { temporaryFolder, type TemporaryFolder } from '../../support/temporary.js'
import { emptyStore, type Handler, PieceNetwork, type SharedModel, sharingStore } from './piece-network.js'

const FRAME = 20 * 2 ** 20
const MIDDLE = { start: 2, end: 6 }
const SETTINGS = { retryMilliseconds: 1, silenceMilliseconds: 5000, piecesPerRequest: 4 }

let folder: TemporaryFolder
let network: PieceNetwork
let shared: SharedModel
let store: ModelStore

beforeEach(async () => {
  folder = await temporaryFolder()
  network = new PieceNetwork()
  shared = await sharingStore(folder, EMBER)
  store = await emptyStore(folder, 'fetching')
})

afterEach(async () => {
  network.close()
  await folder.remove()
})

const whole = (...peers: string[]): RangeHolder[] => peers.map(peer => ({ peer, ranges: [{ start: 0, end: 8 }] }))

const fetcher = (settings = {}): PieceFetcher =>
  new PieceFetcher({ store, openStream: network.openStream }, { ...SETTINGS, ...settings })

/** A peer that answers the pieces that it is asked for as `answer` says; undefined ends the stream. */
function dishonest(answer: (hash: string, index: number) => Promise<Piece | undefined>): Handler {
  return async stream => {
    await pipe(
      readFrom(stream),
      decoder(FRAME),
      async function* (requests) {
        for await (const frame of requests) {
          for (const [i, hash] of decodePiecesRequest(frame).hashes.entries()) {
            const piece = await answer(hash, i)
            if (!piece) return
            yield encodePiece(piece)
          }
        }
      },
      encoder(FRAME),
      writeTo(stream)
    )
  }
}

/** The tensor with a shape that its bytes do not have. */
function shrunk(tensor: ManifestTensor): ManifestTensor {
  return { ...tensor, dims: [1, ...tensor.dims.slice(1)] }
}

async function honestPiece(hash: string): Promise<Piece> {
  const data = await shared.store.readPiece(shared.id, hash)
  return data ? { hash, code: 'OK', data } : { hash, code: 'UNKNOWN_MODEL', data: new Uint8Array(0) }
}

async function expectComplete(file: string, range = MIDDLE): Promise<void> {
  const expected = await shared.store.shardFile(shared.id, range)
  expect((await readFile(file)).equals(await readFile(expected))).toBe(true)
}

describe('PieceFetcher', () => {
  it('fetches the manifest, the header and just the pieces of its range', async () => {
    const server = network.serve('a', shared.store)
    const progress: FetchProgress[] = []
    const file = await fetcher().fetchRange({
      id: shared.id,
      range: MIDDLE,
      holders: () => whole('a'),
      onProgress: state => progress.push(state)
    })
    await expectComplete(file)
    const weights = rangeBytes(shared.manifest, MIDDLE)
    const rest = encodeManifest(shared.manifest).length + shared.manifest.header.size
    expect(server.counters.bytes).toBe(weights + rest)
    expect(progress.at(-1)).toMatchObject({ bytes: weights, totalBytes: weights })
    expect(await store.heldRanges(shared.id)).toEqual([MIDDLE])
    expect(await fetcher().fetchRange({ id: shared.id, range: MIDDLE, holders: () => [] })).toBe(file)
  })

  it('fetches the first, the last and the whole range as the sharing node would write them', async () => {
    network.serve('a', shared.store)
    for (const range of [
      { start: 0, end: 3 },
      { start: 6, end: 8 },
      { start: 0, end: 8 }
    ]) {
      const file = await fetcher().fetchRange({ id: shared.id, range, holders: () => whole('a') })
      if (range.start === 0 && range.end === 8) await expectSameTensors(file)
      else await expectComplete(file, range)
    }
  })

  it('spreads the pieces over several peers', async () => {
    const servers = ['a', 'b', 'c'].map(peer => network.serve(peer, shared.store))
    const options = { id: shared.id, range: MIDDLE, holders: () => whole('a', 'b', 'c') }
    await expectComplete(await fetcher().fetchRange(options))
    const pieces = servers.map(({ counters }) => counters.pieces)
    expect(Math.min(...pieces)).toBeGreaterThan(0)
    const needed = new Set(shared.manifest.tensors.flatMap(({ data }) => data.pieces)).size
    expect(pieces.reduce((sum, count) => sum + count, 0)).toBeLessThanOrEqual(needed + 2)
  })

  it('asks each peer only for what it has', async () => {
    network.serve('a', shared.store)
    const store1 = await emptyStore(folder, 'first')
    const store2 = await emptyStore(folder, 'second')
    const fetchInto = (into: ModelStore, start: number, end: number): Promise<string> =>
      new PieceFetcher({ store: into, openStream: network.openStream }, SETTINGS).fetchRange({
        id: shared.id,
        range: { start, end },
        holders: () => whole('a')
      })
    await Promise.all([fetchInto(store1, 0, 4), fetchInto(store2, 4, 8)])
    network.handlers.delete('a')
    const servers = [network.serve('first', store1), network.serve('second', store2)]
    const holders = [
      { peer: 'first', ranges: [{ start: 0, end: 4 }] },
      { peer: 'second', ranges: [{ start: 4, end: 8 }] }
    ]
    await expectComplete(await fetcher().fetchRange({ id: shared.id, range: MIDDLE, holders: () => holders }))
    expect(servers.every(({ counters }) => counters.pieces > 10)).toBe(true)
  })

  it('refuses a wrong piece, names its sender, asks it no more and fetches the piece elsewhere', async () => {
    network.serve('honest', shared.store)
    let asked = 0
    const liar = dishonest(async hash => {
      asked += 1
      const piece = await honestPiece(hash)
      const data = Uint8Array.from(piece.data)
      data[data.length >> 1] = (data[data.length >> 1] ?? 0) ^ 1
      return { ...piece, data }
    })
    await fetcher().fetchHeader({ id: shared.id, holders: () => whole('honest') })
    network.handlers.set('liar', liar)
    const bad: BadPiece[] = []
    const file = await fetcher({ requestsPerPeer: 1 }).fetchRange({
      id: shared.id,
      range: MIDDLE,
      holders: () => whole('liar', 'honest'),
      onBadPiece: piece => bad.push(piece)
    })
    await expectComplete(file)
    expect(bad).toEqual([{ peer: 'liar', hash: expect.stringMatching(/^[0-9a-f]{64}$/) as string }])
    expect(network.opened.get('liar')).toBe(1)
    expect(asked).toBeGreaterThan(0)
  })

  it.each<[string, () => Uint8Array]>([
    ['does not decode', () => Uint8Array.of(255, 255, 255)],
    ['contradicts itself', () => encodeManifest({ ...shared.manifest, tensors: shared.manifest.tensors.map(shrunk) })]
  ])('names whoever keeps a manifest that %s, although its hash is right', async (_, make) => {
    const data = make()
    const id = sha256(data)
    network.handlers.set(
      'liar',
      dishonest(hash => Promise.resolve({ hash, code: 'OK', data }))
    )
    const bad: BadPiece[] = []
    const fetching = fetcher().fetchManifest({ id, holders: () => whole('liar'), onBadPiece: piece => bad.push(piece) })
    await expect(fetching).rejects.toThrow()
    expect(bad).toEqual([{ peer: 'liar', hash: id, isLie: true }])
    expect(store.list()).toEqual([])
  })

  it('takes a frame that is larger than the piece for a wrong one', async () => {
    network.serve('honest', shared.store)
    await fetcher().fetchHeader({ id: shared.id, holders: () => whole('honest') })
    network.handlers.set(
      'liar',
      dishonest(hash => Promise.resolve({ hash, code: 'OK', data: new Uint8Array(2 * 1024 * 1024) }))
    )
    network.handlers.delete('honest')
    const bad: BadPiece[] = []
    const range = { start: 0, end: 8 }
    const options = { id: shared.id, range, holders: () => whole('liar'), onBadPiece: (piece: BadPiece) => bad.push(piece) }
    await expect(fetcher().fetchRange(options)).rejects.toMatchObject({ code: 'PIECES_UNAVAILABLE' })
    expect(bad[0]).toMatchObject({ peer: 'liar' })
  })

  it.each<[string, (piece: Piece) => Piece]>([
    ['another piece than asked for', piece => ({ ...piece, hash: '11'.repeat(32) })],
    ['a piece that is too short', piece => ({ ...piece, data: piece.data.subarray(1) })]
  ])('takes %s for a wrong one', async (_, change) => {
    network.handlers.set(
      'liar',
      dishonest(async hash => change(await honestPiece(hash)))
    )
    const bad: BadPiece[] = []
    const fetching = fetcher().fetchManifest({
      id: shared.id,
      holders: () => whole('liar'),
      onBadPiece: piece => bad.push(piece)
    })
    await expect(fetching).rejects.toMatchObject({ code: 'PIECES_UNAVAILABLE' })
    expect(bad).toEqual([{ peer: 'liar', hash: shared.id }])
    expect(store.list()).toEqual([])
  })

  it('gives the pieces of a silent peer, and of one that hangs up, to others', async () => {
    network.serve('honest', shared.store)
    await fetcher().fetchHeader({ id: shared.id, holders: () => whole('honest') })
    network.handlers.set(
      'silent',
      dishonest((hash, i) => (i === 0 ? honestPiece(hash) : new Promise(() => undefined)))
    )
    network.handlers.set(
      'hangs-up',
      dishonest((hash, i) => (i === 0 ? honestPiece(hash) : Promise.resolve(undefined)))
    )
    const bad: BadPiece[] = []
    const file = await fetcher({ silenceMilliseconds: 300 }).fetchRange({
      id: shared.id,
      range: MIDDLE,
      holders: () => whole('silent', 'hangs-up', 'cannot-be-dialled', 'honest'),
      onBadPiece: piece => bad.push(piece)
    })
    await expectComplete(file)
    expect(bad).toEqual([])
  })

  it('asks a peer that was too slow for one thing at a time', async () => {
    const server = network.serve('slow', shared.store)
    await fetcher().fetchHeader({ id: shared.id, holders: () => whole('slow') })
    let [streams, open, mostOpen] = [0, 0, 0]
    network.handlers.set('slow', async (stream, connection) => {
      streams += 1
      if (streams <= 2) return new Promise(() => undefined)
      open += 1
      mostOpen = Math.max(mostOpen, open)
      await server.handle(stream, connection).finally(() => (open -= 1))
    })
    const options = { id: shared.id, range: MIDDLE, holders: () => whole('slow') }
    await expectComplete(await fetcher({ silenceMilliseconds: 300 }).fetchRange(options))
    expect(streams).toBeGreaterThan(3)
    expect(mostOpen).toBe(1)
  })

  it('does not give a peer up that breaks off again and again, but brings something each time', async () => {
    network.handlers.set(
      'a',
      dishonest((hash, i) => (i === 0 ? honestPiece(hash) : Promise.resolve(undefined)))
    )
    await expectComplete(await fetcher().fetchRange({ id: shared.id, range: MIDDLE, holders: () => whole('a') }))
    expect(network.opened.get('a')).toBeGreaterThan(20)
  })

  it('asks a busy peer again', async () => {
    const server = network.serve('a', shared.store, { maxStreams: 1 })
    const file = await fetcher().fetchRange({ id: shared.id, range: MIDDLE, holders: () => whole('a') })
    await expectComplete(file)
    expect(server.counters.refused).toBeGreaterThan(0)
  })

  it('says what is missing when nobody has it', async () => {
    network.serve('a', shared.store)
    await fetcher().fetchHeader({ id: shared.id, holders: () => whole('a') })
    const holders = (): RangeHolder[] => [{ peer: 'a', ranges: [{ start: 0, end: 4 }] }]
    await expect(fetcher().fetchRange({ id: shared.id, range: MIDDLE, holders })).rejects.toMatchObject({
      code: 'PIECES_UNAVAILABLE',
      message: expect.stringContaining('blk.4.') as string
    })
    network.serve('empty', store)
    const empty = fetcher().fetchRange({ id: shared.id, range: MIDDLE, holders: () => whole('empty') })
    await expect(empty).rejects.toMatchObject({ code: 'PIECES_UNAVAILABLE' })
  })

  it('takes up an interrupted fetch where it was, and checks what is there', async () => {
    network.serve('a', shared.store)
    const options = { id: shared.id, range: MIDDLE, holders: () => whole('a') }
    await interrupt(MIDDLE, 12)
    await damageFirstPiece()
    const server = network.serve('a', shared.store)
    const again = await fetcher().fetchRange(options)
    await expectComplete(again)
    expect(server.counters.pieces).toBe(piecesIn(MIDDLE) - 11)
  })

  it('says that the shared file is gone where nobody else has its pieces', async () => {
    const copy = folder.file('copy.gguf')
    await copyFile(EMBER, copy)
    await store.addShared(shared.manifest, { file: copy, gguf: await readGguf(copy) })
    await rm(copy)
    const fetching = fetcher().fetchRange({ id: shared.id, range: MIDDLE, holders: () => [] })
    await expect(fetching).rejects.toMatchObject({ code: 'SOURCE_CHANGED' })
    await expect(fetching).rejects.toThrow(copy)
  })

  it('fetches nothing that does not fit on the disk, but the rest of what is nearly there', async () => {
    network.serve('a', shared.store)
    const options = { id: shared.id, range: MIDDLE, holders: () => whole('a') }
    await interrupt(MIDDLE, piecesIn(MIDDLE) - 3)
    const restart = async (free: number): Promise<void> => {
      store = new ModelStore({ root: folder.file('fetching'), freeBytes: () => Promise.resolve(free) })
      await store.start()
    }
    await restart(0)
    await expect(fetcher().fetchRange(options)).rejects.toMatchObject({ code: 'DISK_FULL' })
    await restart(rangeBytes(shared.manifest, MIDDLE))
    await expectComplete(await fetcher().fetchRange(options))
  })

  it.each([false, true])('uses what was fetched for another range, then deletes it (restarted: %s)', async restarted => {
    network.serve('a', shared.store)
    await interrupt({ start: 2, end: 5 }, 12)
    if (restarted) await store.start()
    const server = network.serve('a', shared.store)
    const file = await fetcher().fetchRange({ id: shared.id, range: MIDDLE, holders: () => whole('a') })
    await expectComplete(file)
    expect(server.counters.pieces).toBe(piecesIn(MIDDLE) - 12)
    expect(await readdir(dirname(file))).toEqual([basename(file)])
  })

  it('does not delete what another fetch is filling', async () => {
    network.serve('a', shared.store)
    const one = fetcher()
    const files = await Promise.all(
      [MIDDLE, { start: 0, end: 2 }, { start: 4, end: 8 }].map(range =>
        one.fetchRange({ id: shared.id, range, holders: () => whole('a') })
      )
    )
    for (const file of files) await readFile(file)
    expect((await readdir(dirname(files[0] ?? ''))).sort()).toEqual(files.map(file => basename(file)).sort())
  })

  it('takes what another of its shards has instead of fetching it', async () => {
    const server = network.serve('a', shared.store)
    const fetchRange = (start: number, end: number): Promise<string> =>
      fetcher().fetchRange({ id: shared.id, range: { start, end }, holders: () => whole('a') })
    await fetchRange(2, 5)
    const before = server.counters.bytes
    await expectComplete(await fetchRange(3, 6), { start: 3, end: 6 })
    expect(server.counters.bytes - before).toBe(
      rangeBytes(shared.manifest, { start: 5, end: 6 }) - bytesOf('output_norm.weight')
    )
  })

  it('does not fetch one range twice at a time', async () => {
    network.serve('a', shared.store)
    const one = fetcher()
    const options = { id: shared.id, range: MIDDLE, holders: () => whole('a') }
    const results = await Promise.allSettled([one.fetchRange(options), one.fetchRange(options)])
    expect(results.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected'])
    await expectComplete(await one.fetchRange(options))
  })

  it('fetches a whole model whose shared file is gone', async () => {
    network.serve('a', shared.store)
    const file = await fetcher().fetchRange({ id: shared.id, range: { start: 0, end: 8 }, holders: () => whole('a') })
    await expectSameTensors(file)
    await rm(file)
    await expect(store.shardFile(shared.id, { start: 0, end: 8 })).rejects.toMatchObject({ code: 'NOT_HELD' })
  })
})

function bytesOf(name: string): number {
  return shared.manifest.tensors.find(tensor => tensor.name === name)?.data.size ?? 0
}

/** Fetches a range until `count` pieces of it have come. */
async function interrupt(range: LayerRange, count: number): Promise<void> {
  const controller = new AbortController()
  const interrupted = fetcher({ requestsPerPeer: 1 }).fetchRange({
    ...{ id: shared.id, range, holders: () => whole('a'), signal: controller.signal },
    onProgress: ({ pieces }) => pieces === count && controller.abort(new Error('interrupted'))
  })
  await expect(interrupted).rejects.toThrow('interrupted')
}

/** How many pieces a shard between the ends of the model has: output_norm is in every one. */
function piecesIn(range: LayerRange): number {
  return piecesOf(range).length + 1
}

function piecesOf({ start, end }: LayerRange): string[] {
  const inside = (name: string): boolean => {
    const layer = Number(/^blk\.(\d+)/.exec(name)?.[1] ?? -1)
    return layer >= start && layer < end
  }
  return shared.manifest.tensors.flatMap(({ name, data }) => (inside(name) ? data.pieces : []))
}

async function damageFirstPiece(): Promise<void> {
  const { tensors } = await store.plan(shared.id, MIDDLE)
  const place = tensors.find(({ hole }) => !hole)?.offset ?? 0
  await using handle = await open(await store.partialFile(shared.id, MIDDLE), 'r+')
  await handle.write(new Uint8Array([1, 2, 3]), 0, 3, place)
}

/** A fetched whole model has its padding as zeros, which the file it came from may not have. */
async function expectSameTensors(file: string): Promise<void> {
  const { tensors } = await store.plan(shared.id, { start: 0, end: 8 })
  const bytes = await readFile(file)
  for (const { source, offset, size } of tensors) {
    const pieces: string[] = []
    for (let at = 0; at < size; at += 2 ** 20) {
      const piece = bytes.subarray(offset + at, offset + Math.min(size, at + 2 ** 20))
      pieces.push(createHash('sha256').update(piece).digest('hex'))
    }
    expect(pieces).toEqual(shared.manifest.tensors.find(({ name }) => name === source)?.data.pieces)
  }
}

