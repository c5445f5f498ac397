import { describe, expect, it } from 'vitest'
import { UnsentBytes, WaitingBytes } from '../../../node/trust/bytes.js'

describe('WaitingBytes', () => {
  it('has places for as many bytes of each peer as may wait', () => {
    const waiting = new WaitingBytes({ most: 100 })
    const first = waiting.enter('a', 60)
    expect(waiting.enter('a', 41)).toBeUndefined()
    expect(waiting.enter('a', 40)).toBeDefined()
    expect(waiting.enter('b', 100)).toBeDefined()
    first?.[Symbol.dispose]()
    expect(waiting.enter('a', 61)).toBeUndefined()
    expect(waiting.enter('a', 60)).toBeDefined()
  })
})

describe('UnsentBytes', () => {
  it('counts what waits in all streams of a peer, while they are open', () => {
    const unsent = new UnsentBytes({ most: 100 })
    const streams = [{ writeBufferLength: 60 }, { writeBufferLength: 40 }]
    const watched = streams.map(stream => unsent.watch('a', stream))
    expect(unsent.tooMany('a')).toBe(false)
    streams[0] = Object.assign(streams[0] ?? {}, { writeBufferLength: 61 })
    expect(unsent.tooMany('a')).toBe(true)
    expect(unsent.tooMany('b')).toBe(false)
    watched[1]?.[Symbol.dispose]()
    expect(unsent.tooMany('a')).toBe(false)
  })
})
