import fc from 'fast-check'
import { encode } from 'it-length-prefixed'
import { describe, expect, it } from 'vitest'
import { FrameDecoder } from '../../../node/swarm/frame-decoder.js'

const LIMIT = 1024 * 1024

/** Frames as the wire has them, by another implementation of the same format. */
function wire(frames: Uint8Array[]): Uint8Array {
  return Buffer.concat([...encode(frames, { maxDataLength: LIMIT })].map(chunk => chunk.subarray()))
}

function decode(chunks: Uint8Array[], limit = LIMIT): { frames: Uint8Array[]; idle: boolean } {
  const decoder = new FrameDecoder(limit)
  const frames: Uint8Array[] = []
  for (const chunk of chunks) {
    let offset = 0
    while (offset < chunk.byteLength) {
      const read = decoder.read(chunk, offset)
      if (read.frame !== undefined) frames.push(Uint8Array.from(read.frame))
      offset = read.offset
    }
  }
  return { frames, idle: decoder.idle }
}

const bytes = (length: number): Uint8Array => Uint8Array.from({ length }, (_, index) => index % 251)

describe('FrameDecoder', () => {
  it('holds the first frame to a bound of its own', () => {
    const frames = wire([bytes(16), bytes(300)])
    const decoder = new FrameDecoder(LIMIT, 16)
    const first = decoder.read(frames, 0)
    expect(first.frame).toEqual(bytes(16))
    expect(decoder.read(frames, first.offset).frame).toEqual(bytes(300))
    expect(() => new FrameDecoder(LIMIT, 16).read(wire([bytes(17)]), 0)).toThrow(
      expect.objectContaining({ code: 'FRAME_TOO_LARGE' })
    )
  })

  it('finds the same frames wherever the bytes are split', () => {
    const frames = [bytes(0), bytes(1), bytes(127), bytes(128), bytes(300)]
    const whole = wire(frames)
    for (let at = 0; at <= whole.byteLength; at++) {
      const decoded = decode([whole.subarray(0, at), whole.subarray(at)])
      expect(decoded.frames).toEqual(frames)
      expect(decoded.idle).toBe(true)
    }
  })

  it('finds the same frames whatever the chunks', () => {
    const frame = fc.oneof(fc.uint8Array({ maxLength: 40 }), fc.integer({ min: 0, max: 600_000 }).map(bytes))
    const sizes = fc.array(fc.integer({ min: 1, max: 300_000 }), { minLength: 1, maxLength: 12 })
    fc.assert(
      fc.property(fc.array(frame, { maxLength: 5 }), sizes, (frames, sizes) => {
        const whole = wire(frames)
        const chunks: Uint8Array[] = []
        for (let offset = 0, turn = 0; offset < whole.byteLength; turn++) {
          const end = offset + (sizes[turn % sizes.length] ?? 1)
          chunks.push(whole.subarray(offset, end))
          offset = end
        }
        const decoded = decode(chunks)
        expect(decoded.frames.map(f => Buffer.from(f).toString('base64'))).toEqual(
          frames.map(f => Buffer.from(f).toString('base64'))
        )
        expect(decoded.idle).toBe(true)
      }),
      { numRuns: 60 }
    )
  })

  it('never throws anything but a frame error, whatever the bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), noise => {
        try {
          decode([noise], 256)
        } catch (error) {
          expect(error).toMatchObject({ name: 'SwarmError', code: expect.stringMatching(/^FRAME_/) as string })
        }
      })
    )
  })

  it('refuses a frame above the limit as soon as its length is known', () => {
    const prefix = wire([bytes(1001)]).subarray(0, 2)
    expect(() => decode([prefix], 1000)).toThrow(expect.objectContaining({ code: 'FRAME_TOO_LARGE' }) as Error)
    expect(decode([wire([bytes(1000)])], 1000).frames).toHaveLength(1)
  })

  it('refuses lengths that do not fit 32 bits without wrapping around', () => {
    const length = Uint8Array.of(0x80, 0x80, 0x80, 0x80, 0x10)
    expect(() => decode([length])).toThrow(expect.objectContaining({ code: 'FRAME_TOO_LARGE' }) as Error)
  })

  it('refuses a length prefix that never ends', () => {
    const length = new Uint8Array(5).fill(0x80)
    expect(() => decode([length])).toThrow(expect.objectContaining({ code: 'FRAME_INVALID' }) as Error)
  })

  it('is not idle in the middle of a frame or of a length', () => {
    const whole = wire([bytes(300)])
    expect(decode([whole.subarray(0, 1)]).idle).toBe(false)
    expect(decode([whole.subarray(0, 2)]).idle).toBe(false)
    expect(decode([whole.subarray(0, 100)]).idle).toBe(false)
  })
})
