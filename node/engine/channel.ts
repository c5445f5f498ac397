import type { Duplex } from 'node:stream'
import { EngineError } from './errors.js'

/** The file descriptor by which a child talks to its parent. */
export const CHANNEL_FD = 3

/** Length of the whole message, id, kind, and 0 (uint32, little endian): the body then starts at a multiple of eight. */
const HEAD_BYTES = 16
/** The largest vocabularies and batches of hidden states are far below this. */
export const MAX_MESSAGE_BYTES = 512 * 1024 * 1024

export interface Message {
  /** Of the call. */
  id: number
  /** What the body is: the two ends know. */
  kind: number
  /** A view of what was read. */
  body: Uint8Array
}

/**
 * Messages between a process and its child over a pipe of their own. With Node's channel for that (`fork`, `process.send`) a
 * question and its answer take 0.2 to 0.3 ms longer: much of what a token needs between two decodes.
 */
export class Channel {
  readonly #stream: Duplex

  /** @param onClose called once: nothing comes any more, and what is sent is lost. */
  constructor(stream: Duplex, handlers: { onMessage: (message: Message) => void; onClose: () => void }) {
    this.#stream = stream
    const reader = new MessageReader(handlers.onMessage)
    stream.on('data', (chunk: Uint8Array) => {
      try {
        reader.read(chunk)
      } catch {
        stream.destroy()
      }
    })
    stream.on('error', () => stream.destroy()) // of a pipe whose other end is gone
    stream.on('close', handlers.onClose)
  }

  send(id: number, kind: number, body: readonly Uint8Array[]): void {
    if (!this.#stream.destroyed) this.#stream.write(encode(id, kind, body))
  }

  close(): void {
    this.#stream.destroy()
  }
}

/** One buffer, and so one write. */
function encode(id: number, kind: number, body: readonly Uint8Array[]): Uint8Array {
  const length = body.reduce((sum, { byteLength }) => sum + byteLength, HEAD_BYTES)
  const bytes = new Uint8Array(length)
  const head = new DataView(bytes.buffer)
  head.setUint32(0, length, true)
  head.setUint32(4, id, true)
  head.setUint32(8, kind, true)
  let at = HEAD_BYTES
  for (const part of body) {
    bytes.set(part, at)
    at += part.byteLength
  }
  return bytes
}

class MessageReader {
  readonly #onMessage: (message: Message) => void
  #chunks: Uint8Array[] = []
  #bytes = 0
  #wanted = HEAD_BYTES

  constructor(onMessage: (message: Message) => void) {
    this.#onMessage = onMessage
  }

  read(chunk: Uint8Array): void {
    this.#chunks.push(chunk)
    this.#bytes += chunk.byteLength
    while (this.#bytes >= this.#wanted) this.#take()
  }

  /** One message, or what its length is. */
  #take(): void {
    const [first] = this.#chunks
    const bytes = this.#chunks.length === 1 && first !== undefined ? first : Buffer.concat(this.#chunks)
    const head = new DataView(bytes.buffer, bytes.byteOffset, HEAD_BYTES)
    const length = head.getUint32(0, true)
    if (length < HEAD_BYTES || length > MAX_MESSAGE_BYTES) {
      throw new EngineError('ENGINE_LOST', `a message of ${length} bytes from another process`)
    }
    const whole = bytes.byteLength >= length
    this.#keep(whole ? bytes.subarray(length) : bytes, whole ? HEAD_BYTES : length)
    if (!whole) return
    // Not a Buffer, whose `slice` would share memory.
    const body = new Uint8Array(bytes.buffer, bytes.byteOffset + HEAD_BYTES, length - HEAD_BYTES)
    this.#onMessage({ id: head.getUint32(4, true), kind: head.getUint32(8, true), body })
  }

  #keep(rest: Uint8Array, wanted: number): void {
    this.#chunks = rest.byteLength === 0 ? [] : [rest]
    this.#bytes = rest.byteLength
    this.#wanted = wanted
  }
}
