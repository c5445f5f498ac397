import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { describe, expect, it } from 'vitest'
import { decodeManifest, encodeManifest } from '../../../protocol/manifest.js'
import { GgufMetadata } from '../../../node/models/gguf-metadata.js'
import { GgufType } from '../../../node/models/gguf-types.js'
import { arrayEntry, numberEntry } from '../../../node/models/gguf-writer.js'
import { parseGguf, readGguf } from '../../../node/models/gguf.js'
import { buildManifest, checkHeader, checkTensors, headerBytes, manifestId } from '../../../node/models/manifest.js'
import { planShard } from '../../../node/models/shard.js'
import {
  embeddingBytes,
  headBytes,
  kvBytesPerPosition,
  layerBytes,
  rangeBytes,
  tensorsOf
} from '../../../node/models/sizes.js'
import type { FetchProgress, Manifest, ManifestTensor } from '../../../node/models/types.js'
import { EMBER } from '../../support/models.js'

const hash = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')

async function ember(): Promise<Manifest> {
  return buildManifest({ file: EMBER, gguf: await readGguf(EMBER) }, { cuts: [2, 4, 6] })
}

describe('buildManifest', () => {
  it('hashes every piece of every tensor and of the header', async () => {
    const gguf = await readGguf(EMBER)
    const file = await readFile(EMBER)
    const manifest = await ember()
    expect(manifest.tensors.map(({ name }) => name)).toEqual(gguf.tensors.map(({ name }) => name))
    for (const [i, { data }] of manifest.tensors.entries()) {
      const start = gguf.dataStart + (gguf.tensors[i]?.offset ?? 0)
      const bytes = file.subarray(start, start + data.size)
      const pieces = Array.from({ length: Math.ceil(data.size / 2 ** 20) }, (_, piece) =>
        hash(bytes.subarray(piece * 2 ** 20, (piece + 1) * 2 ** 20))
      )
      expect(data.pieces).toEqual(pieces)
    }
    expect(manifest.header.pieces).toEqual([hash(headerBytes(gguf))])
  })

  it('takes over what the header says, and survives the wire', async () => {
    const manifest = await ember()
    expect(manifest).toMatchObject({ name: 'Ember 3M', architecture: 'llama', layers: 8, width: 192, cuts: [2, 4, 6] })
    const bytes = encodeManifest(manifest)
    expect(decodeManifest(bytes)).toEqual(manifest)
    expect(manifestId(manifest)).toBe(hash(bytes))
  })

  it('gives the same id for the same file, another for other cuts', async () => {
    const gguf = await readGguf(EMBER)
    const other = await buildManifest({ file: EMBER, gguf }, { cuts: [4] })
    expect(manifestId(await ember())).toBe(manifestId(await ember()))
    expect(manifestId(other)).not.toBe(manifestId(await ember()))
  })

  it('reports its progress up to the end', async () => {
    const seen: FetchProgress[] = []
    const gguf = await readGguf(EMBER)
    await buildManifest({ file: EMBER, gguf }, { cuts: [], name: 'mine', onProgress: state => seen.push(state) })
    const last = seen.at(-1)
    expect(last?.bytes).toBe(last?.totalBytes)
    expect(last?.pieces).toBe(last?.totalPieces)
    expect(seen.length).toBe((last?.totalPieces ?? 0) - 1)
  })

  it('stops when it is cancelled', async () => {
    const gguf = await readGguf(EMBER)
    const signal = AbortSignal.abort(new Error('enough'))
    await expect(buildManifest({ file: EMBER, gguf }, { cuts: [], signal })).rejects.toThrow('enough')
  })
})

describe('headerBytes', () => {
  it('has all metadata and no tensors', async () => {
    const gguf = await readGguf(EMBER)
    const bytes = headerBytes(gguf)
    const header = parseGguf(bytes, bytes.length)
    expect(header.tensors).toEqual([])
    expect([...header.metadata.entries]).toEqual([...gguf.metadata.entries])
  })

  it('lays a shard out as the file itself does', async () => {
    const gguf = await readGguf(EMBER)
    const manifest = await ember()
    const bytes = headerBytes(gguf)
    const { metadata } = parseGguf(bytes, bytes.length)
    const range = { start: 2, end: 5 }
    expect(planShard({ metadata, tensors: manifest.tensors, alignment: manifest.alignment }, range)).toEqual(
      planShard(gguf, range)
    )
  })
})

describe('what a manifest must not say', () => {
  it('refuses a tensor whose size is not that of its shape', async () => {
    const manifest = await ember()
    const [first] = manifest.tensors.filter(({ dims }) => dims.length === 2)
    if (!first) throw new Error('no matrix')
    const refusing = (tensor: ManifestTensor) => () => checkTensors({ ...manifest, tensors: [tensor] })
    const grown = { ...first, dims: [first.dims[0] ?? 0, (first.dims[1] ?? 0) + 1] }
    expect(refusing(grown)).toThrow('its shape says')
    expect(refusing({ ...first, type: 4 })).toThrow('cannot be')
    expect(refusing({ ...first, name: 'n'.repeat(64) })).toThrow('63 bytes')
    expect(() => checkTensors(manifest)).not.toThrow()
  })

  it.each(['architecture', 'layers', 'width', 'vocabulary', 'context'])('refuses a header with another %s', async key => {
    const gguf = await readGguf(EMBER)
    const manifest = await ember()
    expect(() => checkHeader(manifest, gguf)).not.toThrow()
    const other = { ...manifest, [key]: key === 'architecture' ? 'gemma' : 7 }
    expect(() => checkHeader(other, gguf)).toThrow(expect.objectContaining({ code: 'BAD_MANIFEST' }) as Error)
  })
})

describe('sizes', () => {
  it('adds up: layers and both ends are the whole model', async () => {
    const manifest = await ember()
    const whole = rangeBytes(manifest, { start: 0, end: 8 })
    expect(whole).toBe(manifest.tensors.reduce((sum, { data }) => sum + data.size, 0))
    const layers = layerBytes(manifest)
    expect(layers).toHaveLength(8)
    // The tied embedding is in both ends.
    const ends = headBytes(manifest)
    expect(layers.reduce((sum, bytes) => sum + bytes, 0) + ends).toBe(whole)
    expect(embeddingBytes(manifest)).toBeLessThan(ends)
  })

  it('counts a range as its layers, and the ends that it has', async () => {
    const manifest = await ember()
    const names = tensorsOf(manifest, { start: 2, end: 3 }).map(({ name }) => name)
    expect(names.filter(name => !name.startsWith('blk.2.'))).toEqual(['output_norm.weight'])
    const first = tensorsOf(manifest, { start: 0, end: 1 }).map(({ name }) => name)
    expect(first).toContain('token_embd.weight')
  })

  it('estimates the KV cache of each layer from the heads', async () => {
    const { metadata } = await readGguf(EMBER)
    const heads = metadata.count('llama.attention.head_count_kv') ?? 0
    const size = 192 / (metadata.count('llama.attention.head_count') ?? 1)
    const expected = heads * size * 2 * 2
    expect(kvBytesPerPosition(await ember(), metadata)).toEqual(new Array(8).fill(expected))
  })

  it('estimates compressed, per-layer and recurrent caches', async () => {
    const manifest = { ...(await ember()), layers: 3, architecture: 'a', width: 64 }
    const tensor = (name: string): ManifestTensor => ({
      name,
      dims: [1],
      type: 0,
      data: { size: 4, pieces: ['00'.repeat(32)] }
    })
    const u32 = (value: number): ReturnType<typeof numberEntry> => numberEntry(GgufType.uint32, value)
    const mixed = ['blk.0.attn_k.weight', 'blk.1.attn_qkv.weight', 'blk.1.ssm_a', 'blk.2.attn_qkv.weight'].map(tensor)
    const perLayer = new GgufMetadata(
      new Map([
        ['a.attention.head_count', u32(4)],
        ['a.attention.head_count_kv', arrayEntry(GgufType.int32, [2, 0, 4])]
      ])
    )
    expect(kvBytesPerPosition({ ...manifest, tensors: mixed }, perLayer)).toEqual([2 * 32 * 2, 0, 4 * 32 * 2])
    const latent = new GgufMetadata(
      new Map([
        ['a.attention.head_count', u32(4)],
        ['a.attention.kv_lora_rank', u32(512)],
        ['a.attention.key_length_mla', u32(192)],
        ['a.rope.dimension_count', u32(64)]
      ])
    )
    const compressed = [0, 1, 2].map(layer => tensor(`blk.${layer}.attn_kv_a_mqa.weight`))
    expect(kvBytesPerPosition({ ...manifest, tensors: compressed }, latent)).toEqual([1152, 1152, 1152])
  })
})
