import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { checkFinite, decodeHidden, encodeHidden, hiddenBytes, rowsPerFrame } from '../../../protocol/hidden-states.js'
import { MAX_STAGE_FRAME_BYTES } from '../../../protocol/limits.js'
import { ProtocolError } from '../../../protocol/protocol-error.js'
import { bytes, hex } from './samples.js'

const half = (value: number): string => hex(encodeHidden(Float32Array.of(value), 'f16'))
const valueOf = (text: string): number => decodeHidden(bytes(text), 'f16', 1, 1)[0] ?? NaN
const finiteFloat = fc.float({ noNaN: true, noDefaultInfinity: true })
const notFinite = expect.objectContaining({ code: 'NOT_FINITE' }) as ProtocolError

describe('float16 on the wire', () => {
  it.each([
    [0, '0000'],
    [-0, '0080'],
    [1, '003c'],
    [-2, '00c0'],
    [65504, 'ff7b'],
    [65519.99, 'ff7b'],
    [2 ** -14, '0004'],
    [2 ** -24, '0100'],
    [1023 * 2 ** -24, 'ff03'],
    [1023.5 * 2 ** -24, '0004'],
    [2 ** -25, '0000'],
    [2 ** -25 * 1.001, '0100'],
    [3 * 2 ** -25, '0200'],
    [1 + 2 ** -11, '003c'],
    [1 + 3 * 2 ** -11, '023c'],
    [1 + 2 ** -11 + 2 ** -20, '013c']
  ])('%f rounds to nearest, ties to even: %s', (value, expected) => {
    expect(half(value)).toBe(expected)
  })

  it.each([65520, -65520, 1e9, Infinity, -Infinity, NaN])('refuses %f, which it cannot hold', value => {
    expect(() => half(value)).toThrow(notFinite)
  })

  it('reads every finite half and writes the same bits again', () => {
    for (let bits = 0; bits < 0x10000; bits++) {
      if ((bits & 0x7c00) === 0x7c00) continue
      const text = hex(new Uint8Array(Uint16Array.of(bits).buffer))
      const value = valueOf(text)
      if (half(value) !== text) expect.fail(`${text} reads as ${value} and is written as ${half(value)}`)
    }
  })

  it('is never further from a value than its neighbours are', () => {
    fc.assert(
      fc.property(fc.float({ noNaN: true, min: -65504, max: 65504 }), value => {
        const bits = new Uint16Array(encodeHidden(Float32Array.of(value), 'f16').buffer)[0] ?? 0
        const error = Math.abs(valueOf(half(value)) - value)
        for (const neighbour of [bits - 1, bits + 1]) {
          if ((neighbour & 0x7c00) === 0x7c00 || (neighbour & 0x7fff) === 0x7fff) continue
          const other = valueOf(hex(new Uint8Array(Uint16Array.of(neighbour).buffer)))
          expect(error).toBeLessThanOrEqual(Math.abs(other - value))
        }
      })
    )
  })
})

describe('float32 on the wire', () => {
  it('keeps every bit, wherever in a frame the bytes begin', () => {
    fc.assert(
      fc.property(
        fc.float32Array({ noNaN: true, noDefaultInfinity: true, minLength: 1 }),
        fc.nat(7),
        (values, offset) => {
          const encoded = encodeHidden(values, 'f32')
          const frame = new Uint8Array(offset + encoded.length)
          frame.set(encoded, offset)
          expect(decodeHidden(frame.subarray(offset), 'f32', 1, values.length)).toEqual(values)
        }
      )
    )
  })
})

describe('finite check', () => {
  it.each(['f16', 'f32'] as const)('finds one %s element that is NaN or infinite among many', dtype => {
    const array = dtype === 'f16' ? fc.uint16Array({ minLength: 1 }) : fc.uint32Array({ minLength: 1 })
    const exponent = dtype === 'f16' ? 0x7c00 : 0x7f800000
    fc.assert(
      fc.property(array, fc.nat(7), (elements, offset) => {
        const finite = elements.every(element => (element & exponent) !== exponent)
        const frame = new Uint8Array(offset + elements.byteLength)
        frame.set(new Uint8Array(elements.buffer, elements.byteOffset, elements.byteLength), offset)
        const check = (): void => checkFinite(frame.subarray(offset), dtype)
        if (finite) expect(check).not.toThrow()
        else expect(check).toThrow(notFinite)
      }),
      { numRuns: 300 }
    )
  })

  it.each([0, 1, 2, 3, 4])('looks at element %i of five', index => {
    const values = new Float32Array(5).fill(1)
    const halves = encodeHidden(values, 'f16')
    halves.set([0x00, 0x7c], index * 2)
    expect(() => checkFinite(halves, 'f16')).toThrow(notFinite)
    values[index] = NaN
    expect(() => encodeHidden(values, 'f32')).toThrow(notFinite)
  })
})

describe('hidden states', () => {
  it('are refused when their length is not that of rows × width', () => {
    expect(() => decodeHidden(new Uint8Array(15), 'f16', 2, 4)).toThrow(ProtocolError)
    expect(() => decodeHidden(new Uint8Array(18), 'f16', 2, 4)).toThrow(ProtocolError)
  })

  it('come back with the shape that they had', () => {
    fc.assert(
      fc.property(fc.array(finiteFloat, { minLength: 1, maxLength: 64 }), values => {
        const small = Float32Array.from(values, value => (Math.abs(value) < 65000 ? value : 1))
        expect(decodeHidden(encodeHidden(small, 'f16'), 'f16', 1, small.length)).toHaveLength(small.length)
      })
    )
  })

  it.each([
    ['f16', 64, 512],
    ['f16', 16_384, 510],
    ['f32', 65_536, 63]
  ] as const)('in %s of width %i fit into a frame %i rows at a time', (dtype, width, rows) => {
    expect(rowsPerFrame(dtype, width)).toBe(rows)
    expect(hiddenBytes(dtype, rows, width)).toBeLessThan(MAX_STAGE_FRAME_BYTES)
  })
})
