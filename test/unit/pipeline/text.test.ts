import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { TextStream } from '../../../node/pipeline/text.js'

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)

describe('text of an answer', () => {
  it('waits for the rest of a character that is spread over tokens', () => {
    const stream = new TextStream()
    const [first, second, ...rest] = bytes('é!')
    expect(stream.push(Uint8Array.of(first ?? 0)).text).toBe('')
    expect(stream.push(Uint8Array.of(second ?? 0, ...rest)).text).toBe('é!')
  })

  it('shows an unfinished character at the end as a replacement character', () => {
    const stream = new TextStream()
    stream.push(bytes('é').subarray(0, 1))
    expect(stream.end()).toBe('\ufffd')
  })

  it('stops before a stop string that is spread over pieces, and shows nothing of it', () => {
    const stream = new TextStream(['\nUser:'])
    expect(stream.push(bytes('hello\nUs'))).toEqual({ text: 'hello', stopped: false })
    expect(stream.push(bytes('er: more'))).toEqual({ text: '', stopped: true })
    expect(stream.end()).toBe('')
  })

  it('ends with nothing after a stop string, also where a character was unfinished', () => {
    const stream = new TextStream(['ab'])
    expect(stream.push(Uint8Array.of(...bytes('ab'), ...bytes('é').subarray(0, 1))).stopped).toBe(true)
    expect(stream.end()).toBe('')
  })

  it('gives out what only looked like a stop string', () => {
    const stream = new TextStream(['abc'])
    expect(stream.push(bytes('xab')).text).toBe('x')
    expect(stream.push(bytes('d')).text).toBe('abd')
  })

  it('stops at the earliest of several stop strings', () => {
    expect(new TextStream(['two', 'one']).push(bytes('zero one two'))).toEqual({ text: 'zero ', stopped: true })
  })

  it('gives out every text whole, however it is cut, up to the first stop string', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: 'grapheme' }),
        fc.array(fc.string({ minLength: 1, maxLength: 3 }), { maxLength: 3 }),
        fc.integer({ min: 1, max: 5 }),
        (text, stops, size) => {
          const stream = new TextStream(stops)
          const all = bytes(text)
          let seen = ''
          let stopped = false
          for (let at = 0; at < all.length && !stopped; at += size) {
            const piece = stream.push(all.subarray(at, at + size))
            seen += piece.text
            stopped = piece.stopped
          }
          seen += stream.end()
          const first = Math.min(...stops.map(stop => text.indexOf(stop)).filter(at => at >= 0), text.length)
          // With several stops the one completed first wins, so the text may end later than the leftmost start.
          if (stops.length <= 1) expect(seen).toBe(text.slice(0, first))
          else expect(text.startsWith(seen)).toBe(true)
        }
      )
    )
  })
})
