import { StreamMessageEvent, type Stream } from '@libp2p/interface'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { deadline } from '../../../node/deadline.js'
import { drained, frames, type FrameStream, type FrameStreamOptions } from '../../../node/swarm/frame-stream.js'
import { yamuxPair } from './stream-pair.js'

const MIB = 1024 * 1024
const MAX = 4 * MIB

interface Recorded {
  frames: Uint8Array[]
  ends: number
  closes: (Error | undefined)[]
}

const opened: Stream[] = []

async function pair(): Promise<[Stream, Stream]> {
  const streams = await yamuxPair()
  opened.push(...streams)
  return streams
}

function record(stream: Stream, options: Partial<FrameStreamOptions> = {}): [FrameStream, Recorded] {
  const seen: Recorded = { frames: [], ends: 0, closes: [] }
  const framed = frames(stream, {
    maxFrameBytes: MAX,
    ...options,
    onFrame: frame => seen.frames.push(frame),
    onEnd: () => (seen.ends += 1),
    onClose: error => seen.closes.push(error)
  })
  return [framed, seen]
}

const filled = (length: number, value: number): Uint8Array => new Uint8Array(length).fill(value)

afterEach(() => {
  for (const stream of opened.splice(0)) stream.abort(new Error('test over'))
})

describe('FrameStream', () => {
  it('carries frames of all sizes both ways and closes once on both sides', async () => {
    const [a, b] = await pair()
    const [near, nearSeen] = record(a)
    const [far, farSeen] = record(b)
    const sizes = [0, 1, 127, 128, 2047, 2048, 16_384, 300_000, 3 * MIB]
    for (const size of sizes) if (!near.send(filled(size, size % 256))) await near.drained()
    far.send(filled(5, 7))
    await near.close()
    await far.close()
    expect(await Promise.all([near.closed, far.closed])).toEqual([undefined, undefined])
    expect(farSeen.frames.map(frame => frame.byteLength)).toEqual(sizes)
    expect(farSeen.frames.every((frame, index) => frame.every(byte => byte === (sizes[index] ?? 0) % 256))).toBe(true)
    expect(nearSeen.frames).toEqual([filled(5, 7)])
    expect([nearSeen.ends, farSeen.ends]).toEqual([1, 1])
    expect([nearSeen.closes, farSeen.closes]).toEqual([[undefined], [undefined]])
  })

  it('counts the bytes that it carries, lengths included, also together with other streams', async () => {
    const near = { received: 0, sent: 0 }
    const far = { received: 0, sent: 0 }
    for (const sizes of [[0, 127, 128], [300_000]]) {
      const [a, b] = await pair()
      const [sender] = record(a, { traffic: near })
      const [reader] = record(b, { traffic: far })
      for (const size of sizes) if (!sender.send(filled(size, 1))) await sender.drained()
      await sender.close()
      await reader.close()
      await Promise.all([sender.closed, reader.closed])
    }
    const bytes = 1 + (1 + 127) + (2 + 128) + (3 + 300_000)
    expect([near, far]).toEqual([
      { received: 0, sent: bytes },
      { received: bytes, sent: 0 }
    ])
  })

  it('goes on sending after the other side has half-closed', async () => {
    const [a, b] = await pair()
    const [near, nearSeen] = record(a)
    const [far, farSeen] = record(b)
    near.send(filled(1, 1))
    await near.close()
    await vi.waitFor(() => expect(farSeen.ends).toBe(1))
    far.send(filled(9, 2))
    await far.close()
    expect(await near.closed).toBeUndefined()
    expect(nearSeen.frames).toEqual([filled(9, 2)])
  })

  it('holds the sender back while the reader pauses, and loses nothing', async () => {
    const [a, b] = await pair()
    const [near] = record(a)
    const [far, seen] = record(b)
    far.pause()
    let sent = 0
    while (near.send(filled(MIB, sent % 256))) sent += 1
    sent += 1
    expect(sent).toBeLessThan(20)
    expect(seen.frames).toHaveLength(0)
    far.resume()
    for (; sent < 40; sent++) if (!near.send(filled(MIB, sent % 256))) await near.drained()
    await near.close()
    await far.close()
    expect(await far.closed).toBeUndefined()
    expect(seen.frames).toHaveLength(40)
    expect(seen.frames.every((frame, index) => frame[0] === index && frame.at(-1) === index)).toBe(true)
  })

  it('bounds what a paused reader holds, again and again', async () => {
    const [a, b] = await pair()
    const [near] = record(a)
    let far: FrameStream | undefined
    let received = 0
    // Pauses at every frame, also within resume(), where libp2p by itself would forget the pause.
    far = frames(b, {
      maxFrameBytes: MAX,
      onFrame: () => {
        received += 1
        far?.pause()
        setImmediate(() => far?.resume())
      }
    })
    let high = 0
    for (let sent = 0; sent < 400; sent++) {
      if (!near.send(filled(128 * 1024, 1))) await near.drained()
      high = Math.max(high, b.readBufferLength)
    }
    await near.close()
    await far.close()
    expect(await far.closed).toBeUndefined()
    expect(received).toBe(400)
    expect(high).toBeLessThan(8 * MIB)
    far = undefined
  })

  it('holds the sender back when the reader pauses again while it resumes', async () => {
    const [a, b] = await pair()
    const [near] = record(a)
    let received = 0
    const far = frames(b, {
      maxFrameBytes: MAX,
      onFrame: () => {
        received += 1
        far.pause()
      }
    })
    far.pause()
    while (near.send(filled(64 * 1024, 1)));
    await vi.waitFor(() => expect(b.readBufferLength).toBeGreaterThan(0))
    far.resume()
    expect(received).toBe(1)
    // By itself libp2p would now let 16 MiB come and then abort the stream.
    let sent = 0
    for (; sent < 24; sent++) {
      near.send(filled(MIB, 2))
      using limit = deadline('drain', 100)
      if (
        await near.drained(limit.signal).then(
          () => false,
          () => true
        )
      )
        break
    }
    expect(sent).toBeLessThan(12)
    expect([a.status, b.status]).toEqual(['open', 'open'])
  })

  it('delivers nothing between pause and resume, even from the same message', async () => {
    const [a, b] = await pair()
    const [near] = record(a)
    const seen: number[] = []
    const far = frames(b, {
      maxFrameBytes: MAX,
      onFrame: frame => {
        seen.push(frame[0] ?? -1)
        far.pause()
      }
    })
    for (let value = 0; value < 5; value++) near.send(filled(10, value))
    await near.close()
    for (let count = 1; count <= 5; count++) {
      await vi.waitFor(() => expect(seen).toHaveLength(count))
      far.resume()
    }
    await far.close()
    expect(await far.closed).toBeUndefined()
    expect(seen).toEqual([0, 1, 2, 3, 4])
  })

  it('waits for room at every drain, not only at the first', async () => {
    const [a, b] = await pair()
    const [near] = record(a)
    record(b)
    let high = 0
    let waits = 0
    for (let sent = 0; sent < 64; sent++) {
      if (!near.send(filled(MIB, 1))) {
        waits += 1
        await near.drained()
        expect(near.needsDrain).toBe(false)
      }
      high = Math.max(high, a.writeBufferLength)
    }
    expect(waits).toBeGreaterThan(2)
    expect(high).toBeLessThan(3 * MIB)
  })

  it('refuses to send a frame above the limit and stays usable', async () => {
    const [a, b] = await pair()
    const [near] = record(a, { maxFrameBytes: 100 })
    const [, seen] = record(b, { maxFrameBytes: 100 })
    expect(() => near.send(filled(101, 1))).toThrow(expect.objectContaining({ code: 'FRAME_TOO_LARGE' }) as Error)
    near.send(filled(100, 1))
    await vi.waitFor(() => expect(seen.frames).toHaveLength(1))
  })

  it('aborts both ends when a frame above the limit arrives', async () => {
    const [a, b] = await pair()
    const [near] = record(a, { maxFrameBytes: 1000 })
    const [far, seen] = record(b, { maxFrameBytes: 100 })
    near.send(filled(101, 1))
    expect(await far.closed).toMatchObject({ code: 'FRAME_TOO_LARGE' })
    expect(await near.closed).toMatchObject({ name: 'StreamResetError' })
    expect(seen.frames).toHaveLength(0)
    expect(seen.closes).toHaveLength(1)
  })

  it('aborts when the stream ends in the middle of a frame', async () => {
    const [a, b] = await pair()
    const [far] = record(b)
    a.send(Uint8Array.of(10, 1, 2, 3))
    await a.close()
    expect(await far.closed).toMatchObject({ code: 'FRAME_TRUNCATED' })
  })

  it('passes an abort on to the other side, whichever side aborts', async () => {
    for (const side of [0, 1] as const) {
      const streams = await pair()
      const ends = [record(streams[0]), record(streams[1])] as const
      const [aborting, own] = ends[side]
      const [other, others] = ends[side === 0 ? 1 : 0]
      ends[0][0].send(filled(10, 1))
      const reason = new Error('enough')
      aborting.abort(reason)
      expect(await aborting.closed).toBe(reason)
      expect(await other.closed).toMatchObject({ name: 'StreamResetError' })
      expect([own.closes.length, others.closes.length]).toEqual([1, 1])
      expect(() => aborting.send(filled(1, 1))).toThrow(expect.objectContaining({ code: 'STREAM_CLOSED' }) as Error)
    }
  })

  it('aborts when a frame handler throws', async () => {
    const [a, b] = await pair()
    const [near] = record(a)
    const far = frames(b, {
      maxFrameBytes: MAX,
      onFrame: () => {
        throw new Error('not understood')
      }
    })
    near.send(filled(3, 1))
    expect(await far.closed).toMatchObject({ message: 'not understood' })
    expect(await near.closed).toMatchObject({ name: 'StreamResetError' })
  })

  it('delivers what arrived before it started, with the end', async () => {
    const [a, b] = await pair()
    a.send(Uint8Array.of(2, 8, 9))
    await a.close()
    await vi.waitFor(() => expect(b.remoteWriteStatus).toBe('closed'))
    const [far, seen] = record(b)
    await far.close()
    expect(await far.closed).toBeUndefined()
    expect(seen.frames.map(frame => [...frame])).toEqual([[8, 9]])
    expect(seen.ends).toBe(1)
  })

  it('reports an abort from before it started', async () => {
    const [a, b] = await pair()
    a.send(Uint8Array.of(1, 1))
    b.abort(new Error('gone'))
    const [far] = record(b)
    expect(await far.closed).toMatchObject({ code: 'STREAM_CLOSED' })
  })

  it('keeps frames of a finished stream until a paused reader resumes', async () => {
    const [a, b] = await pair()
    const [near] = record(a)
    const [far, seen] = record(b)
    far.pause()
    near.send(filled(50_000, 4))
    await near.close()
    await far.close()
    await vi.waitFor(() => expect(b.status).toBe('closed'))
    expect(seen).toEqual({ frames: [], ends: 0, closes: [] })
    far.resume()
    expect(await far.closed).toBeUndefined()
    expect(seen.frames).toEqual([filled(50_000, 4)])
    expect(seen.ends).toBe(1)
  })

  it('stops waiting for room when the signal aborts or the stream dies', async () => {
    const [a, b] = await pair()
    const [near] = record(a)
    const [far] = record(b)
    far.pause()
    while (near.send(filled(MIB, 1)));
    const controller = new AbortController()
    const waiting = drained(a, controller.signal)
    controller.abort(new Error('no longer'))
    await expect(waiting).rejects.toThrow('no longer')
    const dying = near.drained()
    far.abort(new Error('bye'))
    await expect(dying).rejects.toMatchObject({ name: 'StreamResetError' })
  })
})

describe('a frame that drips in', () => {
  const LIMIT = 1_000

  afterEach(() => {
    vi.useRealTimers()
  })

  /** A reader whose stream delivers at once what it is given; time stands still. */
  async function dripping() {
    const [, stream] = await pair()
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    const [reader, seen] = record(stream, { frameMilliseconds: LIMIT })
    const drip = (...bytes: number[]): void => {
      stream.dispatchEvent(new StreamMessageEvent(Uint8Array.from(bytes)))
    }
    return { reader, seen, drip }
  }

  it('ends the stream when it is not whole in time, however steadily it drips', async () => {
    const { seen, drip } = await dripping()
    drip(100)
    for (let i = 0; i < 9; i++) {
      vi.advanceTimersByTime(LIMIT / 10)
      drip(i)
    }
    expect(seen.closes).toEqual([])
    vi.advanceTimersByTime(LIMIT / 10)
    expect(seen.closes).toMatchObject([{ code: 'FRAME_TOO_SLOW' }])
    expect(vi.getTimerCount()).toBe(0)
  })

  it('is whole in time, and the next one has its own', async () => {
    const { seen, drip } = await dripping()
    drip(2, 1)
    vi.advanceTimersByTime(LIMIT - 1)
    drip(1, 3, 2)
    vi.advanceTimersByTime(LIMIT - 1)
    drip(2, 2)
    expect(seen).toMatchObject({ frames: [filled(2, 1), filled(3, 2)], closes: [] })
    vi.advanceTimersByTime(10 * LIMIT)
    expect(seen.closes).toEqual([])
  })

  it('has one timer, which rests while nothing is half done', async () => {
    const { drip } = await dripping()
    drip(1, 1)
    for (let i = 0; i < 20; i++) drip(2, 1, 1)
    expect(vi.getTimerCount()).toBe(0)
    drip(1)
    for (let i = 0; i < 20; i++) drip(1, 1)
    expect(vi.getTimerCount()).toBe(1)
    drip(1)
    vi.advanceTimersByTime(2 * LIMIT)
    expect(vi.getTimerCount()).toBe(0)
  })

  it('may take as long as the reader pauses', async () => {
    const { reader, seen, drip } = await dripping()
    drip(2, 1)
    reader.pause()
    vi.advanceTimersByTime(5 * LIMIT)
    expect(seen.closes).toEqual([])
    reader.resume()
    drip(1)
    expect(seen.frames).toEqual([filled(2, 1)])
  })
})
