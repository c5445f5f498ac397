import type { Connection, Stream } from '@libp2p/interface'
import { pipe } from 'it-pipe'
import { afterEach, describe, expect, it } from 'vitest'
import { answer, call, decoder, encoder, readFrom, request, serve, writeTo } from '../../../node/swarm/wire.js'
import { yamuxPair } from './stream-pair.js'

const MIB = 1024 * 1024
const LIMIT = 2 * MIB
// The handlers under test do not look at it.
const connection = {} as Connection

const opened: Stream[] = []

async function pair(): Promise<[Stream, Stream]> {
  const streams = await yamuxPair()
  opened.push(...streams)
  return streams
}

const text = (value: string): Uint8Array => new TextEncoder().encode(value)
const read = (bytes: Uint8Array): string => new TextDecoder().decode(bytes)
const options = { maxFrameBytes: LIMIT }

afterEach(() => {
  for (const stream of opened.splice(0)) stream.abort(new Error('test over'))
})

describe('wire', () => {
  it('answers one request with one reply and finishes the stream', async () => {
    const [near, far] = await pair()
    const serving = answer(bytes => Promise.resolve(text(read(bytes).toUpperCase())), options)(far, connection)
    expect(read(await request(near, text('ping'), options))).toBe('PING')
    await serving
    expect([near.status, far.status]).toEqual(['closed', 'closed'])
  })

  it('answers one request with many replies', async () => {
    const [near, far] = await pair()
    const handler = serve(async function* (requests) {
      for await (const bytes of requests) for (const letter of read(bytes)) yield text(letter)
    }, options)
    const serving = handler(far, connection)
    const replies: string[] = []
    for await (const reply of call(near, text('abc'), options)) replies.push(read(reply))
    await serving
    expect(replies).toEqual(['a', 'b', 'c'])
    expect(near.status).toBe('closed')
  })

  it('holds a fast sender back for a slow reader without losing or aborting anything', async () => {
    const [near, far] = await pair()
    let produced = 0
    async function* source(): AsyncGenerator<Uint8Array> {
      for (; produced < 40; produced++) yield await Promise.resolve(new Uint8Array(MIB).fill(produced))
    }
    const sending = pipe(source(), encoder(LIMIT), writeTo(near))
    const frames = pipe(readFrom(far), decoder(LIMIT))
    expect(await frames.next()).toMatchObject({ value: { 0: 0, byteLength: MIB } })
    await new Promise(resolve => setImmediate(resolve))
    // Windows, buffers on both sides, and one frame under way; far from all.
    expect(produced).toBeLessThan(16)
    let expected = 1
    for await (const frame of frames) {
      expect([frame.byteLength, frame[0], frame.at(-1)]).toEqual([MIB, expected, expected])
      expected += 1
    }
    await sending
    expect(expected).toBe(40)
  })

  it('refuses a frame above the limit from either side', async () => {
    const [near, far] = await pair()
    const serving = answer(() => Promise.resolve(new Uint8Array(2000)), options)(far, connection)
    await expect(request(near, text('x'), { maxFrameBytes: 1000 })).rejects.toMatchObject({
      name: 'InvalidDataLengthError'
    })
    await serving.catch(() => undefined)
    expect(near.status).toBe('aborted')

    const [client, server] = await pair()
    const refusing = answer(() => Promise.resolve(text('never')), { maxFrameBytes: 10 })(server, connection)
    const asking = request(client, new Uint8Array(100), options)
    await expect(refusing).rejects.toMatchObject({ name: 'InvalidDataLengthError' })
    server.abort(new Error('as libp2p does when a handler throws'))
    await expect(asking).rejects.toMatchObject({ name: 'StreamResetError' })
  })

  it('rejects when no reply comes, or a second one', async () => {
    const [near, far] = await pair()
    const empty = serve(async function* (requests) {
      for await (const bytes of requests) yield* bytes.byteLength > 0 ? [] : [bytes]
    }, options)
    const serving = empty(far, connection)
    await expect(request(near, text('x'), options)).rejects.toMatchObject({ code: 'REPLY_INVALID' })
    await serving

    const [client, server] = await pair()
    const twice = serve(async function* (requests) {
      for await (const bytes of requests) yield* [bytes, bytes]
    }, options)
    const repeating = twice(server, connection).catch(() => undefined)
    await expect(request(client, text('x'), options)).rejects.toMatchObject({ code: 'REPLY_INVALID' })
    await repeating
  })

  it('refuses a second request on a stream for one', async () => {
    const [near, far] = await pair()
    const serving = answer(bytes => Promise.resolve(bytes), options)(far, connection)
    const sending = pipe([text('a'), text('b')], encoder(LIMIT), writeTo(near))
    await expect(serving).rejects.toMatchObject({ code: 'FRAME_INVALID' })
    await sending.catch(() => undefined)
  })

  it('resets both sides when the caller stops early or gives up', async () => {
    const [near, far] = await pair()
    const endless = serve(async function* (requests) {
      for await (const bytes of requests) for (;;) yield await Promise.resolve(bytes)
    }, options)
    const serving = endless(far, connection)
    for await (const reply of call(near, text('x'), options)) {
      expect(read(reply)).toBe('x')
      break
    }
    await expect(serving).rejects.toBeInstanceOf(Error)
    expect([near.status, far.status]).toEqual(['aborted', 'reset'])

    const [client, server] = await pair()
    const silent = serve(
      async function* (requests, _, signal) {
        await new Promise((_, reject) => signal.addEventListener('abort', () => reject(new Error('late'))))
        for await (const bytes of requests) yield bytes
      },
      { ...options, milliseconds: 50 }
    )
    const waiting = silent(server, connection)
    const controller = new AbortController()
    const asking = request(client, text('x'), { ...options, signal: controller.signal })
    controller.abort(new Error('no time'))
    await expect(asking).rejects.toThrow('no time')
    await expect(waiting).rejects.toBeInstanceOf(Error)
  })
})
