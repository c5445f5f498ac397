import { readFile, stat, readdir } from 'node:fs/promises'
import { describe, expect, it } from 'vitest'
import { describeModel } from '../../../node/models/description.js'
import { GgufMetadata } from '../../../node/models/gguf-metadata.js'
import { GgufType } from '../../../node/models/gguf-types.js'
import { arrayEntry, numberEntry, stringEntry } from '../../../node/models/gguf-writer.js'
import { type Gguf, parseGguf, readGguf } from '../../../node/models/gguf.js'
import { writeShard } from '../../../node/models/shard-writer.js'
import { planShard, type ShardSource } from '../../../node/models/shard.js'
import { EMBER } from '../../support/models.js'
import { temporaryFolder } from '../../support/temporary.js'
import { tinyModelBytes, type TinyModelOptions } from '../../support/tiny-model.js'

function tiny(options: TinyModelOptions): { bytes: Buffer; gguf: Gguf } {
  const bytes = tinyModelBytes(options)
  return { bytes, gguf: parseGguf(bytes, bytes.length) }
}

/** A source with two dense and four other layers, per-layer settings and one block for multi-token prediction. */
function layered(): ShardSource {
  const u32 = (value: number): ReturnType<typeof numberEntry> => numberEntry(GgufType.uint32, value)
  const perLayer = arrayEntry(GgufType.uint32, [1, 2, 3, 4, 5, 6, 7])
  const entries = new Map([
    ['general.architecture', stringEntry('glm4moe')],
    ['glm4moe.block_count', u32(7)],
    ['glm4moe.nextn_predict_layers', u32(1)],
    ['glm4moe.embedding_length', u32(32)],
    ['glm4moe.context_length', u32(64)],
    ['glm4moe.vocab_size', u32(100)],
    ['glm4moe.leading_dense_block_count', u32(3)],
    ['glm4moe.attention.head_count_kv', perLayer],
    ['glm4moe.names', arrayEntry(GgufType.string, ['a', 'bb', 'ccc', 'd', 'e', 'f'])],
    ['glm4moe.rope.dimension_sections', perLayer],
    ['tokenizer.ggml.list', perLayer],
    ['split.count', u32(1)]
  ])
  const blocks = [0, 1, 2, 3, 4, 5, 6].map(i => ({ name: `blk.${i}.attn_norm.weight`, dims: [32], type: 0 }))
  const tensors = [
    { name: 'token_embd.weight', dims: [32, 100], type: 0 },
    { name: 'output.weight', dims: [32, 100], type: 0 },
    { name: 'rope_freqs.weight', dims: [8], type: 0 },
    ...blocks
  ]
  return { metadata: new GgufMetadata(entries), tensors, alignment: 32 }
}

/** The metadata of a planned shard, decoded from its header's bytes. */
function metadataOf(source: ShardSource, start: number, end: number): GgufMetadata {
  const { header, fileBytes } = planShard(source, { start, end })
  return parseGguf(header, fileBytes).metadata
}

describe('describeModel', () => {
  it('describes the bundled model', async () => {
    expect(describeModel(await readGguf(EMBER))).toEqual({
      architecture: 'llama',
      name: 'Ember 3M',
      licence: 'apache-2.0',
      layers: 8,
      extraLayers: 0,
      width: 192,
      vocabulary: 2048,
      context: 512,
      tied: true
    })
  })

  it('counts blocks for multi-token prediction apart', () => {
    expect(describeModel(layered())).toMatchObject({ layers: 6, extraLayers: 1, vocabulary: 100, tied: false })
  })

  it.each(['general.architecture', 'glm4moe.block_count', 'glm4moe.embedding_length', 'glm4moe.vocab_size'])(
    'names %s when it is missing',
    key => {
      const { metadata, tensors } = layered()
      const entries = new Map(metadata.entries)
      entries.delete(key)
      expect(() => describeModel({ metadata: new GgufMetadata(entries), tensors })).toThrow(key)
    }
  )

  it('refuses one part of a model in several files', () => {
    const { metadata, tensors } = layered()
    const entries = new Map([...metadata.entries, ['split.count', numberEntry(GgufType.uint16, 3)] as const])
    const describing = (): unknown => describeModel({ metadata: new GgufMetadata(entries), tensors })
    expect(describing).toThrow(expect.objectContaining({ code: 'SPLIT_FILE' }) as Error)
  })
})

describe('planShard', () => {
  it('cuts what is set per layer, in numbers and in text, and nothing else', () => {
    const metadata = metadataOf(layered(), 2, 5)
    expect(metadata.value('glm4moe.block_count')).toBe(3)
    expect(metadata.value('glm4moe.leading_dense_block_count')).toBe(1)
    expect(metadata.value('glm4moe.attention.head_count_kv')).toEqual([3, 4, 5])
    expect(metadata.value('glm4moe.names')).toEqual(['ccc', 'd', 'e'])
    expect(metadata.value('glm4moe.rope.dimension_sections')).toEqual([1, 2, 3, 4, 5, 6, 7])
    expect(metadata.has('split.count')).toBe(false)
  })

  it('leaves blocks for multi-token prediction with the head', () => {
    const middle = metadataOf(layered(), 2, 5)
    expect(middle.value('glm4moe.nextn_predict_layers')).toBe(0)
    const last = metadataOf(layered(), 4, 6)
    expect(last.value('glm4moe.nextn_predict_layers')).toBe(1)
    expect(last.value('glm4moe.block_count')).toBe(3)
    expect(last.value('glm4moe.attention.head_count_kv')).toEqual([5, 6, 7])
    const names = planShard(layered(), { start: 4, end: 6 }).tensors.map(tensor => tensor.name)
    expect(names).toContain('blk.2.attn_norm.weight')
  })

  it('gives a middle shard no vocabulary and tiny holes for both ends', () => {
    const plan = planShard(layered(), { start: 2, end: 4 })
    const { metadata } = parseGguf(plan.header, plan.fileBytes)
    expect(metadata.value('tokenizer.ggml.model')).toBe('no_vocab')
    expect(metadata.has('tokenizer.ggml.list')).toBe(false)
    expect(metadata.value('glm4moe.vocab_size')).toBe(32)
    expect(plan.tensors.map(({ source, name, dims, hole }) => [source, name, dims, hole])).toEqual([
      ['token_embd.weight', 'token_embd.weight', [32, 32], true],
      ['output.weight', 'output.weight', [32, 32], true],
      ['rope_freqs.weight', 'rope_freqs.weight', [8], false],
      ['blk.2.attn_norm.weight', 'blk.0.attn_norm.weight', [32], false],
      ['blk.3.attn_norm.weight', 'blk.1.attn_norm.weight', [32], false]
    ])
  })

  it.each([
    ['the first shard', 0, 3, { 'token_embd.weight': false, 'output.weight': true }],
    ['the last shard', 3, 6, { 'token_embd.weight': true, 'output.weight': false }],
    ['the whole model', 0, 6, { 'token_embd.weight': false, 'output.weight': false }]
  ])('gives %s the ends that it uses, at full size', (_, start, end, holes) => {
    const ends = planShard(layered(), { start, end }).tensors.filter(tensor => tensor.source in holes)
    expect(Object.fromEntries(ends.map(tensor => [tensor.source, tensor.hole]))).toEqual(holes)
    expect(ends.map(tensor => tensor.dims)).toEqual([
      [32, 100],
      [32, 100]
    ])
  })

  it('keeps the embedding with the head when the head uses its weights', async () => {
    const gguf = await readGguf(EMBER)
    const embedding = (start: number, end: number): boolean | undefined =>
      planShard(gguf, { start, end }).tensors.find(tensor => tensor.source === 'token_embd.weight')?.hole
    expect([embedding(0, 4), embedding(2, 4), embedding(4, 8)]).toEqual([false, true, false])
  })

  it('sets an input scale to 1 in shards that do not start at layer 0', () => {
    const { gguf } = tiny({ architecture: 'granite' })
    expect(metadataOf(gguf, 0, 4).value('granite.embedding_scale')).toBe(12)
    expect(metadataOf(gguf, 4, 8).value('granite.embedding_scale')).toBe(1)
  })

  it.each([
    [-1, 2],
    [2, 2],
    [3, 2],
    [0, 7],
    [0.5, 2]
  ])('refuses layers %d-%d of six', (start, end) => {
    expect(() => planShard(layered(), { start, end })).toThrow(expect.objectContaining({ code: 'BAD_RANGE' }) as Error)
  })
})

describe('writeShard', () => {
  it('writes the data of every tensor that the shard uses, and nothing into the holes', async () => {
    await using folder = await temporaryFolder()
    const source = await readFile(EMBER)
    const model = await readGguf(EMBER)
    for (const [start, end] of [
      [0, 3],
      [3, 5],
      [5, 8]
    ] as const) {
      const file = folder.file(`${start}-${end}.gguf`)
      const plan = await writeShard({ file: EMBER, gguf: model }, { start, end }, file)
      const bytes = await readFile(file)
      const shard = await readGguf(file)
      for (const { source: name, name: renamed, hole, size, offset } of plan.tensors) {
        const from = model.tensors.find(tensor => tensor.name === name)
        const to = shard.tensors.find(tensor => tensor.name === renamed)
        expect(shard.dataStart + (to?.offset ?? -1)).toBe(offset)
        const at = model.dataStart + (from?.offset ?? 0)
        const expected = hole ? Buffer.alloc(size) : source.subarray(at, at + size)
        expect(bytes.subarray(offset, offset + size).equals(expected)).toBe(true)
      }
    }
  })

  it.skipIf(process.platform === 'win32')('takes no disk for the holes', async () => {
    await using folder = await temporaryFolder()
    const gguf = await readGguf(EMBER)
    const embedding = gguf.tensors.find(tensor => tensor.name === 'token_embd.weight')?.size ?? 0
    const file = folder.file('middle.gguf')
    const plan = await writeShard({ file: EMBER, gguf }, { start: 2, end: 4 }, file)
    expect(plan.fileBytes).toBeLessThan(gguf.fileSize - embedding)
    const { blocks, size } = await stat(file)
    expect(size).toBe(plan.fileBytes)
    expect(blocks * 512).toBeLessThan(plan.fileBytes + 8192)
  })

  it('leaves nothing where it is found at the end that the source has changed', async () => {
    await using folder = await temporaryFolder()
    const gguf = await readGguf(EMBER)
    const beforeCommit = (): Promise<void> => Promise.reject(new Error('it has changed'))
    const writing = writeShard({ file: EMBER, gguf }, { start: 0, end: 4 }, folder.file('shard.gguf'), { beforeCommit })
    await expect(writing).rejects.toThrow('it has changed')
    expect(await readdir(folder.path)).toEqual([])
  })

  it('leaves nothing behind when it is cancelled', async () => {
    await using folder = await temporaryFolder()
    const gguf = await readGguf(EMBER)
    const signal = AbortSignal.abort(new Error('enough'))
    const writing = writeShard({ file: EMBER, gguf }, { start: 0, end: 4 }, folder.file('shard.gguf'), { signal })
    await expect(writing).rejects.toThrow('enough')
    await expect(stat(folder.file('shard.gguf'))).rejects.toMatchObject({ code: 'ENOENT' })
  })
})
