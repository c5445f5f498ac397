import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { MAX_HEADER_BYTES } from '../../../protocol/limits.js'
import { flambeau } from '../../../protocol/generated/messages.js'
import { decodeManifest, encodeManifest, type Manifest } from '../../../protocol/manifest.js'
import type { ProtocolError } from '../../../protocol/protocol-error.js'
import { filled, HASH, hex, manifest } from './samples.js'

const refused = (code: string): ProtocolError =>
  expect.objectContaining({ name: 'ProtocolError', code }) as ProtocolError

const [tensor = expect.fail('no tensor')] = manifest.tensors

/** A manifest as a hostile writer would encode it, without checks. */
function raw(wrong: object): Uint8Array {
  const { header, tensors } = flambeau.Manifest.decode(encodeManifest(manifest))
  return flambeau.Manifest.encode({ ...manifest, version: 1, header: header ?? null, tensors, ...wrong }).finish()
}

const manifests: fc.Arbitrary<Manifest> = fc
  .record({
    name: fc.string({ minLength: 1, maxLength: 40 }).filter(name => !/\p{Cc}/u.test(name)),
    layers: fc.integer({ min: 1, max: 1024 }),
    cuts: fc.uniqueArray(fc.integer({ min: 1, max: 1023 })),
    pieceBytes: fc.constantFrom(4096, 65_536, 1_048_576),
    sizes: fc.array(fc.integer({ min: 1, max: 100_000 }), { maxLength: 20 }),
    alignment: fc.constantFrom(1, 32, 65_536)
  })
  .map(({ name, layers, cuts, pieceBytes, sizes, alignment }) => ({
    ...{ ...manifest, name, layers, pieceBytes, alignment },
    cuts: cuts.filter(cut => cut < layers).sort((a, b) => a - b),
    header: { size: 1, pieces: [HASH] },
    tensors: sizes.map((size, index) => ({
      name: `blk.${index}.weight`,
      dims: [size],
      type: index % 30,
      data: {
        size,
        pieces: Array.from({ length: Math.ceil(size / pieceBytes) }, (_, at) => at.toString(16).padStart(64, '0'))
      }
    }))
  }))

describe('a manifest', () => {
  it('is read as it was written, and is the same bytes again', () => {
    fc.assert(
      fc.property(manifests, value => {
        const encoded = encodeManifest(value)
        expect(decodeManifest(encoded)).toEqual(value)
        expect(hex(encodeManifest(structuredClone(value)))).toBe(hex(encoded))
      })
    )
  })

  it('keeps a size above 4 GiB', () => {
    const size = 5 * 2 ** 30 + 1
    const pieces = Array<string>(Math.ceil(size / 1_048_576)).fill(HASH)
    const large = { name: 'large', dims: [1], type: 0, data: { size, pieces } }
    const header = { size: 1, pieces: [HASH] }
    const value = { ...manifest, pieceBytes: 1_048_576, header, tensors: [large] }
    expect(decodeManifest(encodeManifest(value)).tensors[0]?.data.size).toBe(size)
  })

  it('with a header that is too large is refused', () => {
    const size = MAX_HEADER_BYTES + 1
    const header = { size, pieces: Array<string>(Math.ceil(size / 1_048_576)).fill(HASH) }
    expect(() => encodeManifest({ ...manifest, pieceBytes: 1_048_576, header })).toThrow(refused('TOO_LARGE'))
  })

  it('of another version is refused as such', () => {
    expect(() => decodeManifest(raw({ version: 2 }))).toThrow(refused('UNSUPPORTED'))
  })

  it.each([
    ['no name', { name: '' }, 'MALFORMED'],
    ['a name that drives a terminal', { name: 'a\u001b[2J' }, 'MALFORMED'],
    ['a long name', { name: 'n'.repeat(257) }, 'TOO_LARGE'],
    ['a long licence', { licence: 'n'.repeat(1025) }, 'TOO_LARGE'],
    ['no layers', { layers: 0, cuts: [] }, 'MALFORMED'],
    ['too many layers', { layers: 1025 }, 'TOO_LARGE'],
    ['no width', { width: 0 }, 'MALFORMED'],
    ['too much width', { width: 65_537 }, 'TOO_LARGE'],
    ['too large a vocabulary', { vocabulary: 1_048_577 }, 'TOO_LARGE'],
    ['too long a context', { context: 16_777_217 }, 'TOO_LARGE'],
    ['a cut before layer 0', { cuts: [0, 2] }, 'MALFORMED'],
    ['a cut behind the last layer', { cuts: [8] }, 'MALFORMED'],
    ['cuts that do not ascend', { cuts: [4, 2] }, 'MALFORMED'],
    ['a cut twice', { cuts: [4, 4] }, 'MALFORMED'],
    ['pieces of another size', { pieceBytes: 5000 }, 'MALFORMED'],
    ['pieces that are too large', { pieceBytes: 2_097_152 }, 'MALFORMED'],
    ['an alignment that is no power of two', { alignment: 24 }, 'MALFORMED'],
    ['too large an alignment', { alignment: 131_072 }, 'TOO_LARGE'],
    ['no header', { header: null }, 'MALFORMED'],
    ['a header with a piece too many', { header: { sizeLow: 100, pieces: filled(64, 1) } }, 'MALFORMED'],
    ['half a hash', { header: { sizeLow: 100, pieces: filled(33, 1) } }, 'MALFORMED'],
    ['an absurd size', { header: { sizeHigh: 0xffffffff, sizeLow: 1, pieces: filled(32, 1) } }, 'MALFORMED']
  ])('with %s is refused', (_, wrong, code) => {
    expect(() => decodeManifest(raw(wrong))).toThrow(refused(code))
  })

  const data = { sizeLow: 8192, pieces: filled(64, 1) }
  it.each([
    ['without a name', [{ dims: [1], data }], 'MALFORMED'],
    ['with a long name', [{ name: 'n'.repeat(257), dims: [1], data }], 'TOO_LARGE'],
    [
      'with the name of another',
      [
        { name: 'a', dims: [1], data },
        { name: 'a', dims: [1], data }
      ],
      'MALFORMED'
    ],
    ['without dimensions', [{ name: 'a', data }], 'MALFORMED'],
    ['with too many dimensions', [{ name: 'a', dims: [1, 1, 1, 1, 1], data }], 'TOO_LARGE'],
    ['with a dimension of nothing', [{ name: 'a', dims: [0], data }], 'MALFORMED'],
    ['with more elements than can be counted', [{ name: 'a', dims: [2 ** 31, 2 ** 31], data }], 'TOO_LARGE'],
    ['of an absurd type', [{ name: 'a', dims: [1], type: 256, data }], 'TOO_LARGE'],
    ['without data', [{ name: 'a', dims: [1] }], 'MALFORMED']
  ])('with a tensor %s is refused', (_, tensors, code) => {
    expect(() => decodeManifest(raw({ tensors }))).toThrow(refused(code))
  })

  it('with too many tensors is refused before they are kept', () => {
    const tensors = Buffer.alloc(2 * 65_537, Buffer.from([0x62, 0]))
    expect(() => decodeManifest(Buffer.concat([encodeManifest({ ...manifest, tensors: [] }), tensors]))).toThrow(
      refused('TOO_LARGE')
    )
  })

  it('that breaks a rule is not written either', () => {
    expect(() => encodeManifest({ ...manifest, cuts: [8] })).toThrow(refused('MALFORMED'))
    expect(() => encodeManifest({ ...manifest, tensors: [tensor, tensor] })).toThrow(refused('MALFORMED'))
    expect(() => encodeManifest({ ...manifest, header: { size: 1, pieces: ['xy'] } })).toThrow(refused('MALFORMED'))
  })
})
