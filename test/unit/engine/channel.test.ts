import { once } from 'node:events'
import { Duplex } from 'node:stream'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Channel, type Message } from '../../../node/engine/channel.js'

/** A channel over a stream whose bytes the test hands in (`push`) and finds in `written`. */
function open(): { stream: Duplex; channel: Channel; received: Message[]; written: Uint8Array[] } {
  const [received, written]: [Message[], Uint8Array[]] = [[], []]
  const stream = new Duplex({
    read: () => undefined,
    write: (chunk: Uint8Array, _, done) => {
      written.push(chunk)
      done()
    }
  })
  const channel = new Channel(stream, { onMessage: message => received.push(message), onClose: () => undefined })
  return { stream, channel, received, written }
}

/** What a channel writes for these messages. */
function bytesOf(messages: Message[]): Buffer {
  const { channel, written } = open()
  for (const { id, kind, body } of messages) channel.send(id, kind, [body.subarray(0, 3), body.subarray(3)])
  return Buffer.concat(written)
}

const message = fc.record({
  id: fc.integer({ min: 0, max: 0xffffffff }),
  kind: fc.integer({ min: 0, max: 9 }),
  body: fc.uint8Array({ maxLength: 100 })
})

test('messages arrive whole and in order however the bytes are cut', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(message), fc.array(fc.integer({ min: 1, max: 60 })), async (messages, cuts) => {
      const { stream, received } = open()
      let rest = bytesOf(messages)
      for (const cut of cuts) {
        stream.push(rest.subarray(0, cut))
        rest = rest.subarray(cut)
      }
      stream.push(rest)
      const ended = once(stream, 'end')
      stream.push(null)
      await ended
      expect(received).toEqual(messages)
    })
  )
})

test('a body starts at a multiple of eight', () => {
  const { channel, written } = open()
  channel.send(1, 0, [Uint8Array.of(42)])
  expect(written).toHaveLength(1)
  expect(written[0]).toHaveLength(17)
  expect(written[0]?.[16]).toBe(42)
})

test.each([
  ['shorter than its own head', 15],
  ['absurdly long', 0xffffffff]
])('a message that is %s ends the channel', async (_, length) => {
  const { stream, received } = open()
  const head = Buffer.alloc(16)
  head.writeUInt32LE(length)
  const closed = once(stream, 'close')
  stream.push(head)
  await closed
  expect(received).toEqual([])
})

test('sending into a closed channel is no error', async () => {
  const { stream, channel } = open()
  const closed = once(stream, 'close')
  channel.close()
  await closed
  expect(() => channel.send(1, 0, [])).not.toThrow()
})
