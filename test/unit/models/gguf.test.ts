import { truncate, writeFile } from 'node:fs/promises'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ModelError } from '../../../node/models/errors.js'
import { NeedMoreBytes } from '../../../node/models/gguf-cursor.js'
import { type GgufEntry, GgufMetadata } from '../../../node/models/gguf-metadata.js'
import { GgufType, type TensorShape } from '../../../node/models/gguf-types.js'
import { arrayEntry, layOutGguf, numberEntry, stringEntry } from '../../../node/models/gguf-writer.js'
import { parseGguf, readGguf } from '../../../node/models/gguf.js'
import { EMBER } from '../../support/models.js'
import { temporaryFolder } from '../../support/temporary.js'
import { tinyModelBytes } from '../../support/tiny-model.js'

const F32 = 0
const Q8_0 = 8

interface FileParts {
  entries?: [string, GgufEntry][]
  tensors?: TensorShape[]
  alignment?: number
}

function ggufFile({ entries = [], tensors = [], alignment = 32 }: FileParts): Uint8Array {
  const { header, fileBytes } = layOutGguf(new Map(entries), tensors, alignment)
  const file = new Uint8Array(fileBytes)
  file.set(header)
  return file
}

const oneTensor = (change: Partial<TensorShape> = {}): Uint8Array =>
  ggufFile({ tensors: [{ name: 'weight', dims: [32, 2], type: F32, ...change }] })

const parse = (bytes: Uint8Array): ReturnType<typeof parseGguf> => parseGguf(bytes, bytes.length)

/** `bytes` with a little-endian number of `size` bytes written over `offset`. */
function patched(bytes: Uint8Array, offset: number, value: bigint, size: 4 | 8): Uint8Array {
  const copy = new Uint8Array(bytes)
  const view = new DataView(copy.buffer)
  if (size === 4) view.setUint32(offset, Number(value), true)
  else view.setBigUint64(offset, value, true)
  return copy
}

const codeOf = (bytes: Uint8Array): string => {
  try {
    parse(bytes)
    return 'parsed'
  } catch (error) {
    if (error instanceof ModelError) return error.code
    throw error
  }
}

describe('readGguf', () => {
  it('reads the header of the bundled model', async () => {
    const gguf = await readGguf(EMBER)
    expect(gguf.version).toBe(3)
    expect(gguf.metadata.string('general.architecture')).toBe('llama')
    expect(gguf.metadata.count('llama.block_count')).toBe(8)
    expect(gguf.metadata.arrayLength('tokenizer.ggml.tokens')).toBe(2048)
    expect(gguf.tensors.find(tensor => tensor.name === 'token_embd.weight')?.dims).toEqual([192, 2048])
  })

  it('reads a header that is larger than the first read', async () => {
    await using folder = await temporaryFolder()
    const file = folder.file('large.gguf')
    const tokens = Array.from({ length: 200_000 }, (_, i) => `token ${i}`)
    await writeFile(file, ggufFile({ entries: [['tokens', arrayEntry(GgufType.string, tokens)]] }))
    const { metadata } = await readGguf(file)
    expect(metadata.arrayLength('tokens')).toBe(200_000)
    const { type, bytes } = metadata.entries.get('tokens') ?? {}
    expect(type).toBe(GgufType.array)
    // Not toEqual: it takes half a minute for these bytes.
    expect(Buffer.from(bytes ?? []).equals(arrayEntry(GgufType.string, tokens).bytes)).toBe(true)
  })

  it.each([
    ['an array of 70 000 items', arrayEntry(GgufType.uint8, new Array<number>(70_000).fill(0))],
    ['a text of 2 MiB', stringEntry('x'.repeat(2 ** 21))]
  ])('does not decode %s', (_what, entry) => {
    const metadata = new GgufMetadata(new Map([['long', entry]]))
    expect(() => metadata.value('long')).toThrow(expect.objectContaining({ code: 'ABSURD_SIZE' }))
    expect(() => metadata.counts('long')).toThrow(ModelError)
  })

  it('looks at the type of a text or number before it decodes an array', () => {
    const metadata = new GgufMetadata(new Map([['long', arrayEntry(GgufType.uint8, new Array<number>(70_000).fill(0))]]))
    for (const read of [() => metadata.string('long'), () => metadata.count('long')]) {
      expect(read).toThrow(expect.objectContaining({ code: 'BAD_METADATA' }))
    }
  })

  it('says that a file which was cut off is cut off, and where', async () => {
    await using folder = await temporaryFolder()
    const file = folder.file('cut.gguf')
    const bytes = tinyModelBytes({ architecture: 'llama', layers: 2 })
    await writeFile(file, bytes)
    await truncate(file, bytes.length - 5000)
    await expect(readGguf(file)).rejects.toMatchObject({
      code: 'TRUNCATED',
      message: expect.stringContaining(`the file has ${bytes.length - 5000} bytes`) as string
    })
  })

  it('refuses an empty file and a text', async () => {
    await using folder = await temporaryFolder()
    await writeFile(folder.file('empty'), '')
    await writeFile(folder.file('text'), 'not a model')
    await expect(readGguf(folder.file('empty'))).rejects.toMatchObject({ code: 'NOT_GGUF' })
    await expect(readGguf(folder.file('text'))).rejects.toMatchObject({ code: 'NOT_GGUF' })
  })
})

describe('parseGguf', () => {
  it('gives back every kind of metadata value', () => {
    const entries: [string, GgufEntry][] = [
      ['uint8', numberEntry(GgufType.uint8, 200)],
      ['int8', numberEntry(GgufType.int8, -3)],
      ['uint16', numberEntry(GgufType.uint16, 60_000)],
      ['int16', numberEntry(GgufType.int16, -300)],
      ['uint32', numberEntry(GgufType.uint32, 4_000_000_000)],
      ['int32', numberEntry(GgufType.int32, -70_000)],
      ['float32', numberEntry(GgufType.float32, 0.5)],
      ['bool', numberEntry(GgufType.bool, 1)],
      ['string', stringEntry('grüße')],
      ['uint64', numberEntry(GgufType.uint64, 2 ** 40)],
      ['large', numberEntry(GgufType.uint64, 2n ** 64n - 1n)],
      ['int64', numberEntry(GgufType.int64, -(2n ** 60n))],
      ['float64', numberEntry(GgufType.float64, Math.PI)],
      ['numbers', arrayEntry(GgufType.int32, [1, -2, 3])],
      ['strings', arrayEntry(GgufType.string, ['a', '', 'ü'])]
    ]
    const { metadata } = parse(ggufFile({ entries }))
    expect(Object.fromEntries([...metadata.entries.keys()].map(key => [key, metadata.value(key)]))).toEqual({
      uint8: 200,
      int8: -3,
      uint16: 60_000,
      int16: -300,
      uint32: 4_000_000_000,
      int32: -70_000,
      float32: 0.5,
      bool: true,
      string: 'grüße',
      uint64: 2 ** 40,
      large: 2n ** 64n - 1n,
      int64: -(2n ** 60n),
      float64: Math.PI,
      numbers: [1, -2, 3],
      strings: ['a', '', 'ü']
    })
  })

  it('reads version 2, which has the same layout', () => {
    expect(parse(patched(oneTensor(), 4, 2n, 4)).version).toBe(2)
  })

  it('obeys the alignment of the file', () => {
    const bytes = ggufFile({
      entries: [['general.alignment', numberEntry(GgufType.uint32, 256)]],
      tensors: [
        { name: 'a', dims: [1], type: F32 },
        { name: 'b', dims: [32], type: Q8_0 }
      ],
      alignment: 256
    })
    const { dataStart, tensors } = parse(bytes)
    expect(dataStart % 256).toBe(0)
    expect(tensors.map(({ offset, size }) => [offset, size])).toEqual([
      [0, 4],
      [256, 34]
    ])
  })

  // Of `oneTensor`: magic 0, version 4, tensors 8, keys 16, name's length 24, name 32, dimensions 38, dims 42 and 50,
  // type 58, offset 62.
  const hostile: [string, string, () => Uint8Array][] = [
    ['another magic number', 'NOT_GGUF', () => patched(oneTensor(), 0, 0x46554746n, 4)],
    ['version 1', 'UNSUPPORTED_VERSION', () => patched(oneTensor(), 4, 1n, 4)],
    ['a big-endian file', 'UNSUPPORTED_VERSION', () => patched(oneTensor(), 4, 0x03000000n, 4)],
    ['2^63 tensors', 'ABSURD_SIZE', () => patched(oneTensor(), 8, 2n ** 63n, 8)],
    ['2^32 metadata keys', 'ABSURD_SIZE', () => patched(oneTensor(), 16, 2n ** 32n, 8)],
    ['a name of 2^60 bytes', 'ABSURD_SIZE', () => patched(oneTensor(), 24, 2n ** 60n, 8)],
    ['an empty name', 'ABSURD_SIZE', () => patched(oneTensor(), 24, 0n, 8)],
    ['a name of 64 bytes', 'ABSURD_SIZE', () => oneTensor({ name: 'n'.repeat(64) })],
    ['five dimensions', 'ABSURD_SIZE', () => patched(oneTensor(), 38, 5n, 4)],
    ['no dimensions', 'ABSURD_SIZE', () => patched(oneTensor(), 38, 0n, 4)],
    ['a dimension of 0', 'ABSURD_SIZE', () => patched(oneTensor(), 42, 0n, 8)],
    ['dimensions whose product is above 2^53', 'ABSURD_SIZE', () => patched(oneTensor(), 42, 2n ** 53n - 1n, 8)],
    ['a dimension above 2^53', 'ABSURD_SIZE', () => patched(oneTensor(), 42, 2n ** 63n + 32n, 8)],
    ['a tensor type that ggml dropped', 'UNSUPPORTED_TYPE', () => patched(oneTensor(), 58, 4n, 4)],
    ['rows that are no multiple of the block', 'ABSURD_SIZE', () => patched(oneTensor({ dims: [33, 2] }), 58, 8n, 4)],
    ['a tensor beyond the file', 'TRUNCATED', () => patched(oneTensor(), 50, 3n, 8)],
    ['a tensor at another place', 'MALFORMED', () => patched(oneTensor(), 62, 32n, 8)],
    ['a name that is not UTF-8', 'MALFORMED', () => patched(oneTensor(), 32, 0xffffffffn, 4)],
    ['a key that comes twice', 'MALFORMED', () => twice('key')],
    [
      'an unknown value type',
      'UNSUPPORTED_TYPE',
      () => ggufFile({ entries: [['key', { type: 13, bytes: new Uint8Array(8) }]] })
    ],
    [
      'an array of arrays',
      'UNSUPPORTED_TYPE',
      () => ggufFile({ entries: [['key', arrayEntry(GgufType.array, [])]] })
    ],
    [
      'an array of 2^61 strings',
      'ABSURD_SIZE',
      () => withEntry(arrayEntry(GgufType.string, []), entry => patched(entry, 4, 2n ** 61n, 8))
    ],
    [
      'an array of 2^40 numbers',
      'TRUNCATED',
      () => withEntry(arrayEntry(GgufType.uint8, []), entry => patched(entry, 4, 2n ** 40n, 8))
    ],
    ['a string of 2^50 bytes', 'ABSURD_SIZE', () => withEntry(stringEntry(''), entry => patched(entry, 0, 2n ** 50n, 8))],
    ['a string beyond the file', 'TRUNCATED', () => withEntry(stringEntry(''), entry => patched(entry, 0, 4000n, 8))],
    [
      'an alignment of 3',
      'MALFORMED',
      () => ggufFile({ entries: [['general.alignment', numberEntry(GgufType.uint32, 3)]] })
    ],
    [
      'an alignment of 2^31',
      'MALFORMED',
      () => ggufFile({ entries: [['general.alignment', numberEntry(GgufType.uint32, 2 ** 31)]] })
    ]
  ]

  it.each(hostile)('refuses %s with %s', (_, code, bytes) => {
    expect(codeOf(bytes())).toBe(code)
  })

  it('refuses two tensors of one name', () => {
    const tensor = { name: 'weight', dims: [32], type: F32 }
    expect(codeOf(ggufFile({ tensors: [tensor, tensor] }))).toBe('MALFORMED')
  })

  it('asks for more bytes as the header needs them, never more than the file has', () => {
    const bytes = tinyModelBytes({ architecture: 'qwen3moe', layers: 2 })
    const { dataStart } = parse(bytes)
    for (let size = 8; size < dataStart - 32; size += 97) {
      const asked = needed(bytes.subarray(0, size), bytes.length)
      expect(asked).toBeGreaterThan(size)
      expect(asked).toBeLessThanOrEqual(dataStart)
    }
  })

  it('asks for no more than 256 MiB of header, however large the file is', () => {
    const endless = withEntry(arrayEntry(GgufType.uint8, []), entry => patched(entry, 4, 2n ** 39n, 8))
    expect(() => parseGguf(endless, 2 ** 40)).toThrow(expect.objectContaining({ code: 'ABSURD_SIZE' }) as Error)
  })

  it('answers any changed or cut file with a header or a ModelError', () => {
    const bytes = tinyModelBytes({ architecture: 'llama', layers: 1 })
    const { dataStart } = parse(bytes)
    const change = fc.record({ at: fc.nat(dataStart - 1), value: fc.integer({ min: 0, max: 255 }) })
    const changes = fc.array(change, { minLength: 1, maxLength: 8 })
    const properties = fc.property(changes, fc.nat(bytes.length), fc.boolean(), (edits, length, cut) => {
      const copy = new Uint8Array(bytes)
      for (const { at, value } of edits) copy[at] = value
      const file = cut ? copy.subarray(0, length) : copy
      codeOf(file) // throws what is no ModelError
    })
    fc.assert(properties, { numRuns: 1000 })
  })

  it('answers arbitrary bytes after the magic number with a header or a ModelError', () => {
    const properties = fc.property(fc.uint8Array({ maxLength: 400 }), tail => {
      codeOf(Uint8Array.of(0x47, 0x47, 0x55, 0x46, 3, 0, 0, 0, ...tail))
    })
    fc.assert(properties, { numRuns: 1000 })
  })
})

describe('GgufMetadata', () => {
  const metadata = new GgufMetadata(
    new Map([
      ['text', stringEntry('x')],
      ['negative', numberEntry(GgufType.int32, -1)],
      ['half', numberEntry(GgufType.float32, 0.5)],
      ['several', arrayEntry(GgufType.uint32, [4, 0, 4])]
    ])
  )

  it.each(['text', 'negative', 'half', 'several'])('refuses %s as a count', key => {
    expect(() => metadata.count(key)).toThrow(ModelError)
  })

  it('gives counts as one or as many, and undefined for what is not there', () => {
    expect(metadata.counts('several')).toEqual([4, 0, 4])
    expect(metadata.counts('nothing')).toBeUndefined()
    expect(() => metadata.string('half')).toThrow(ModelError)
  })
})

function needed(bytes: Uint8Array, fileSize: number): number {
  try {
    parseGguf(bytes, fileSize)
    return 0
  } catch (error) {
    if (error instanceof NeedMoreBytes) return error.bytes
    throw error
  }
}

function withEntry(entry: GgufEntry, change: (bytes: Uint8Array) => Uint8Array): Uint8Array {
  return ggufFile({ entries: [['key', { type: entry.type, bytes: change(entry.bytes) }]] })
}

/** Two metadata entries whose keys differ in one byte, made the same. */
function twice(key: string): Uint8Array {
  const other = `${key.slice(0, -1)}\0`
  const value = numberEntry(GgufType.uint8, 1)
  const bytes = ggufFile({
    entries: [
      [key, value],
      [other, value]
    ]
  })
  const at = Buffer.from(bytes).indexOf(Buffer.from(other))
  bytes.set(Buffer.from(key), at)
  return bytes
}
