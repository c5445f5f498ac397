import type { Stream } from '@libp2p/interface'
import { multiaddrConnectionPair } from '@libp2p/utils'
import fc from 'fast-check'
import { Uint8ArrayList } from 'uint8arraylist'
import { expect, test } from 'vitest'
import { muxers } from '../../../node/swarm/transport.js'
import { MAX_HELD_WINDOW_BYTES, WindowUpdates } from '../../../node/swarm/window-updates.js'

const DATA = 0
const UPDATE = 1
const SYN = 1
/** Frames that do not wait: four updates while the window doubles from 256 KiB to 4 MiB, the acknowledgement, a ping. */
const OTHER_FRAMES = 6

interface Header {
  type: number
  flags: number
  stream: number
  length: number
}

function frame({ type, flags, stream, length }: Header): Uint8Array {
  const bytes = new Uint8Array(12)
  const view = new DataView(bytes.buffer)
  view.setUint8(1, type)
  view.setUint16(2, flags)
  view.setUint32(4, stream)
  view.setUint32(8, length)
  return bytes
}

const update = (stream: number, length: number): Uint8Array => frame({ type: UPDATE, flags: 0, stream, length })

/** The headers in what was sent; data frames here have no payload. */
function headers(sent: Uint8Array | Uint8ArrayList | undefined): Header[] {
  const bytes = sent?.subarray() ?? new Uint8Array(0)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  return Array.from({ length: bytes.byteLength / 12 }, (_, n) => ({
    type: view.getUint8(12 * n + 1),
    flags: view.getUint16(12 * n + 2),
    stream: view.getUint32(12 * n + 4),
    length: view.getUint32(12 * n + 8)
  }))
}

test('updates wait for the next frame and go before it, one a stream', () => {
  const updates = new WindowUpdates()
  expect(updates.pass(update(1, 100))).toBeUndefined()
  expect(updates.pass(update(3, 7))).toBeUndefined()
  expect(updates.pass(update(1, 20))).toBeUndefined()
  const data = { type: DATA, flags: 0, stream: 5, length: 0 }
  const [first, second, third] = headers(updates.pass(frame(data)))
  expect(first).toEqual({ type: UPDATE, flags: 0, stream: 1, length: 120 })
  expect(second).toEqual({ type: UPDATE, flags: 0, stream: 3, length: 7 })
  expect(third).toEqual(data)
  expect(headers(updates.pass(frame(data)))).toEqual([data])
})

test('a frame with a payload is passed on as it is', () => {
  const data = new Uint8ArrayList(frame({ type: DATA, flags: 0, stream: 1, length: 2 }), Uint8Array.of(8, 9))
  expect(new WindowUpdates().pass(data)).toBe(data)
})

test('what opens, acknowledges or ends a stream does not wait', () => {
  const updates = new WindowUpdates()
  for (const flags of [SYN, 2, 4, 8]) {
    const header = { type: UPDATE, flags, stream: 1, length: 0 }
    expect(headers(updates.pass(frame(header)))).toEqual([header])
  }
})

test('no window is lost, and less than a quarter of the smallest one is held back', () => {
  const header = fc.record({
    type: fc.constantFrom(DATA, UPDATE),
    flags: fc.constantFrom(0, 0, 0, SYN),
    stream: fc.integer({ min: 1, max: 4 }),
    length: fc.integer({ min: 0, max: 40_000 })
  })
  fc.assert(
    fc.property(fc.array(header), sent => {
      const updates = new WindowUpdates()
      const owed = new Map<number, number>()
      const add = ({ type, stream, length }: Header, sign: number): void => {
        if (type === UPDATE) owed.set(stream, (owed.get(stream) ?? 0) + sign * length)
      }
      for (const header of sent) {
        add(header, 1)
        for (const passed of headers(updates.pass(frame(header)))) add(passed, -1)
        const held = [...owed.values()]
        expect(Math.min(0, ...held)).toBe(0)
        expect(held.reduce((sum, bytes) => sum + bytes, 0)).toBeLessThan(MAX_HELD_WINDOW_BYTES)
      }
    })
  )
})

/** Two ends of a stream between two muxers, and how often each end wrote to the connection. */
async function countedPair(): Promise<{ near: Stream; far: Stream; writes: { near: number; far: number } }> {
  const [outbound, inbound] = multiaddrConnectionPair({ delay: 0 })
  const [make] = muxers()
  if (make === undefined) throw new Error('no muxer')
  const writes = { near: 0, far: 0 }
  for (const [name, connection] of [
    ['near', outbound],
    ['far', inbound]
  ] as const) {
    const send = connection.send.bind(connection)
    connection.send = data => {
      writes[name]++
      return send(data)
    }
  }
  const local = make().createStreamMuxer(outbound)
  const remote = make().createStreamMuxer(inbound)
  const accepted = new Promise<Stream>(resolve => remote.addEventListener('stream', ({ detail }) => resolve(detail)))
  const [near, far] = await Promise.all([local.createStream(), accepted])
  return { near, far, writes }
}

test('question and answer cost one write each way', async () => {
  const { near, far, writes } = await countedPair()
  const rounds = 50
  const before = { ...writes }
  far.addEventListener('message', () => void far.send(new Uint8Array(40)))
  for (let round = 0; round < rounds; round++) {
    const answered = new Promise(resolve => near.addEventListener('message', resolve, { once: true }))
    near.send(new Uint8Array(4_096))
    await answered
  }
  expect(writes.near - before.near).toBeLessThanOrEqual(rounds + OTHER_FRAMES)
  expect(writes.far - before.far).toBeLessThanOrEqual(rounds + OTHER_FRAMES)
})

test('a stream that only ever goes one way never waits for window', async () => {
  const { near, far } = await countedPair()
  const total = 8 * 1024 * 1024
  let received = 0
  const all = new Promise<void>(resolve =>
    far.addEventListener('message', ({ data }) => {
      received += data.byteLength
      if (received === total) resolve()
    })
  )
  for (let sent = 0; sent < total; sent += 65_536) {
    if (!near.send(new Uint8Array(65_536))) {
      while (near.writableNeedsDrain)
        await new Promise(resolve => near.addEventListener('drain', resolve, { once: true }))
    }
  }
  await all
  expect(received).toBe(total)
})
