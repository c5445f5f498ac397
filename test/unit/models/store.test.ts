import { appendFile, copyFile, mkdir, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { encodeManifest } from '../../../protocol/manifest.js'
import { readGguf } from '../../../node/models/gguf.js'
import { sha256 } from '../../../node/models/hash.js'
import { buildManifest, headerBytes, manifestId } from '../../../node/models/manifest.js'
import { ModelStore } from '../../../node/models/store.js'
import type { Manifest } from '../../../node/models/types.js'
import { EMBER } from '../../support/models.js'
import { temporaryFolder, type TemporaryFolder } from '../../support/temporary.js'

interface Shared extends AsyncDisposable {
  folder: TemporaryFolder
  root: string
  /** A copy of the bundled model that a test may change. */
  source: string
  store: ModelStore
  manifest: Manifest
  id: string
}

async function shared(): Promise<Shared> {
  const folder = await temporaryFolder()
  const source = folder.file('model.gguf')
  await copyFile(EMBER, source)
  const root = folder.file('models')
  const store = new ModelStore({ root })
  await store.start()
  const gguf = await readGguf(source)
  const manifest = await buildManifest({ file: source, gguf }, { cuts: [2, 4, 6] })
  await store.addShared(manifest, { file: source, gguf })
  const dispose = (): Promise<void> => folder.remove()
  return { folder, root, source, store, manifest, id: manifestId(manifest), [Symbol.asyncDispose]: dispose }
}

async function reopened(root: string): Promise<ModelStore> {
  const store = new ModelStore({ root })
  await store.start()
  return store
}

describe('ModelStore', () => {
  it('uses the shared file in place and writes other ranges from it', async () => {
    await using model = await shared()
    const { store, id, source } = model
    expect(await store.shardFile(id, { start: 0, end: 8 })).toBe(source)
    const [one, two] = await Promise.all([
      store.shardFile(id, { start: 2, end: 4 }),
      store.shardFile(id, { start: 2, end: 4 })
    ])
    expect(one).toBe(two)
    const { metadata } = await readGguf(one)
    expect(metadata.count('llama.block_count')).toBe(2)
    expect(await store.heldRanges(id)).toEqual([
      { start: 0, end: 8 },
      { start: 2, end: 4 }
    ])
    expect(await readdir(join(model.root, id))).not.toContain('model.gguf')
  })

  it('knows everything again after a restart', async () => {
    await using model = await shared()
    await model.store.shardFile(model.id, { start: 4, end: 8 })
    const store = await reopened(model.root)
    expect(store.list()).toEqual(model.store.list())
    expect(store.get(model.id)?.manifest).toEqual(model.manifest)
    expect(store.damaged()).toEqual([])
  })

  it('hands out every piece, checked, and the manifest under its own hash', async () => {
    await using model = await shared()
    const { store, id, manifest } = model
    const hashes = [...manifest.header.pieces, ...manifest.tensors.flatMap(({ data }) => data.pieces)]
    for (const hash of hashes) {
      const piece = await store.readPiece(id, hash)
      expect(piece && sha256(piece)).toBe(hash)
    }
    expect(await store.readPiece(id, id)).toEqual(encodeManifest(manifest))
    expect(await store.readPiece(id, '00'.repeat(32))).toBeUndefined()
    expect(await store.readPiece('00'.repeat(32), id)).toBeUndefined()
  })

  it('hands out pieces from shards alone when the shared file is gone', async () => {
    await using model = await shared()
    const { store, id, manifest, source } = model
    await store.shardFile(id, { start: 2, end: 4 })
    await rm(source)
    const pieceOf = async (name: string): Promise<Uint8Array | undefined> =>
      store.readPiece(id, manifest.tensors.find(tensor => tensor.name === name)?.data.pieces[0] ?? '')
    expect(await pieceOf('blk.3.ffn_up.weight')).toBeDefined()
    expect(await pieceOf('blk.4.ffn_up.weight')).toBeUndefined()
    expect(await pieceOf('token_embd.weight')).toBeUndefined() // a hole in the shard
    expect(await store.heldRanges(id)).toEqual([{ start: 2, end: 4 }])
  })

  it('keeps and serves a manifest as it came, with what a later version has put into it', async () => {
    await using model = await shared()
    const unknownField = Uint8Array.of(0xa0, 0x1f, 0x01)
    const bytes = Buffer.concat([encodeManifest(model.manifest), unknownField])
    const later = sha256(bytes)
    await model.store.addManifest(bytes, later)
    expect(await model.store.readPiece(later, later)).toEqual(bytes)
  })

  it('removes what a comparison that crashed has left', async () => {
    await using model = await shared()
    await mkdir(join(model.root, 'flambeau-split-x'))
    await writeFile(join(model.root, 'flambeau-split-x', 'shard.gguf'), 'x')
    await reopened(model.root)
    expect(await readdir(model.root)).toEqual([model.id])
  })

  it('leaves the comparison of a running process alone', async () => {
    await using model = await shared()
    await mkdir(join(model.root, `flambeau-split-${process.ppid}-x`))
    await mkdir(join(model.root, `flambeau-split-${process.pid}-x`))
    await reopened(model.root)
    expect((await readdir(model.root)).sort()).toEqual([model.id, `flambeau-split-${process.ppid}-x`])
  })

  it('notices that the shared file was changed', async () => {
    await using model = await shared()
    const { store, id, source } = model
    await appendFile(source, 'x')
    await expect(store.shardFile(id, { start: 0, end: 8 })).rejects.toMatchObject({ code: 'SOURCE_CHANGED' })
    await expect(store.shardFile(id, { start: 0, end: 4 })).rejects.toMatchObject({ code: 'SOURCE_CHANGED' })
    expect(await store.sourceProblem(id)).toContain('was changed')
    expect(await store.heldRanges(id)).toEqual([])
  })

  it('hands out no piece that does not have its hash any more', async () => {
    await using model = await shared()
    const { store, id, manifest, source } = model
    const file = await store.shardFile(id, { start: 2, end: 4 })
    await rm(source)
    const bytes = await readFile(file)
    await writeFile(file, bytes.map((byte, i) => (i < bytes.length / 2 ? byte : byte ^ 1)))
    const hash = manifest.tensors.find(({ name }) => name === 'blk.3.ffn_up.weight')?.data.pieces[0] ?? ''
    expect(await store.readPiece(id, hash)).toBeUndefined()
  })

  it('forgets a shard that was cut off and writes it again', async () => {
    await using model = await shared()
    const range = { start: 2, end: 4 }
    const file = await model.store.shardFile(model.id, range)
    const whole = await readFile(file)
    await truncate(file, 1000)
    const store = await reopened(model.root)
    expect((await readFile(await store.shardFile(model.id, range))).equals(whole)).toBe(true)
  })

  it('cleans up what a crash left, but keeps what can be resumed', async () => {
    await using model = await shared()
    const shards = join(model.root, model.id, 'shards')
    await writeFile(join(shards, '0-4.gguf.0123456789ab.tmp'), 'half')
    await writeFile(join(model.root, model.id, 'manifest.0123456789ab.tmp'), 'half')
    await writeFile(join(shards, '4-8.gguf.partial'), 'half')
    const store = await reopened(model.root)
    expect(await readdir(shards)).toEqual(['4-8.gguf.partial'])
    expect(await readdir(join(model.root, model.id))).not.toContain('manifest.0123456789ab.tmp')
    expect(store.get(model.id)?.shards).toEqual([])
    await store.removeShard(model.id, { start: 4, end: 8 })
    expect(await readdir(shards)).toEqual([])
  })

  it('leaves damaged models alone and names them', async () => {
    await using model = await shared()
    await appendFile(join(model.root, model.id, 'manifest'), 'x')
    await mkdir(join(model.root, 'ab'.repeat(32)))
    const store = await reopened(model.root)
    expect(store.list()).toEqual([])
    expect(store.damaged()).toHaveLength(2)
    expect(await readdir(model.root)).toHaveLength(2)
  })

  it('accepts a manifest only under its own hash, and a header only of its model', async () => {
    await using model = await shared()
    const store = await reopened(model.folder.file('other'))
    const bytes = encodeManifest(model.manifest)
    await expect(store.addManifest(bytes, '00'.repeat(32))).rejects.toMatchObject({ code: 'BAD_MANIFEST' })
    await store.addManifest(bytes, model.id)
    await expect(store.addHeader(model.id, new Uint8Array(100))).rejects.toMatchObject({ code: 'BAD_MANIFEST' })
    await expect(store.header(model.id)).rejects.toMatchObject({ code: 'NOT_HELD' })
    await store.addHeader(model.id, headerBytes(await readGguf(model.source)))
    expect((await store.header(model.id)).metadata.string('general.architecture')).toBe('llama')
    await expect(store.shardFile(model.id, { start: 0, end: 4 })).rejects.toMatchObject({ code: 'NOT_HELD' })
  })

  it('writes no shard that does not fit on the disk, and says what is missing', async () => {
    await using model = await shared()
    const range = { start: 2, end: 4 }
    const file = await model.store.shardFile(model.id, range)
    const needed = await model.store.diskBytes(model.id)
    await rm(file)
    const withFree = async (bytes: number): Promise<ModelStore> => {
      const store = new ModelStore({ root: model.root, freeBytes: () => Promise.resolve(bytes) })
      await store.start()
      return store
    }
    const full = (await withFree(0)).shardFile(model.id, range)
    await expect(full).rejects.toMatchObject({ code: 'DISK_FULL' })
    await expect(full).rejects.toThrow(/needs [1-9]\d* MB more .* room for 0 MB/)
    expect(await readdir(dirname(file))).toEqual([])
    expect(await (await withFree(2 * needed)).shardFile(model.id, range)).toBe(file)
  })

  it('removes a model, but not the file that the owner shared', async () => {
    await using model = await shared()
    await model.store.shardFile(model.id, { start: 2, end: 4 })
    expect(await model.store.diskBytes(model.id)).toBeGreaterThan(100_000)
    await model.store.remove(model.id)
    expect(model.store.list()).toEqual([])
    expect(await readdir(model.root)).toEqual([])
    expect((await readFile(model.source)).equals(await readFile(EMBER))).toBe(true)
  })

  it('refuses a range that the model does not have', async () => {
    await using model = await shared()
    const outside = model.store.shardFile(model.id, { start: 4, end: 9 })
    await expect(outside).rejects.toMatchObject({ code: 'BAD_RANGE' })
    await expect(model.store.shardFile('ff'.repeat(32), { start: 0, end: 1 })).rejects.toMatchObject({
      code: 'UNKNOWN_MODEL'
    })
  })
})
