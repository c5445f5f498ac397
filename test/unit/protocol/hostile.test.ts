import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ProtocolError } from '../../../protocol/protocol-error.js'
import { messages } from './messages.js'

const MIB = 2 ** 20

/** A mebibyte of fields of two bytes each: empty messages, empty bytes, small numbers, unknown fields, groups. */
const crowded = [
  [0x0a, 0],
  [0x12, 0],
  [0x1a, 0],
  [0x62, 0],
  [0x10, 1],
  [0x7a, 0],
  [0x0b, 0x0c]
].map(field => new Uint8Array(Buffer.alloc(MIB, Uint8Array.from(field))))

/** Random bytes, and bytes of real messages that were cut, lengthened or changed. */
function frames(valid: Uint8Array): fc.Arbitrary<Uint8Array> {
  const changed = fc
    .array(fc.tuple(fc.nat(valid.length), fc.nat(255)), { minLength: 1, maxLength: 4 })
    .map(changes => changes.reduce((frame, [at, value]) => frame.fill(value, at, at + 1), Uint8Array.from(valid)))
  const cut = fc.nat(valid.length).map(length => valid.subarray(0, length))
  const longer = fc.uint8Array({ maxLength: 64 }).map(more => Uint8Array.from([...valid, ...more]))
  return fc.oneof(fc.uint8Array({ maxLength: 400 }), changed, cut, longer)
}

describe('bytes from a stranger', () => {
  it.each(Object.entries(messages))('are a %s or a ProtocolError', (_, { encode, decode }) => {
    fc.assert(
      fc.property(frames(encode()), frame => {
        try {
          decode(frame)
        } catch (error) {
          expect(error).toBeInstanceOf(ProtocolError)
        }
      }),
      { numRuns: 200 }
    )
  })

  it.each(Object.entries(messages))('do not make a %s allocate much more than they are', (_, { decode }) => {
    for (const frame of crowded) {
      const before = process.memoryUsage().heapUsed
      expect(() => decode(frame)).toThrow(ProtocolError)
      expect(process.memoryUsage().heapUsed - before).toBeLessThan(16 * MIB)
    }
  })
})
