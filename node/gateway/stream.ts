import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import type { FastifyReply } from 'fastify'
import { HEARTBEAT_MS } from './constants.js'
import { failureOf, type Failure } from './errors.js'

/** How an answer that comes in parts looks on the wire. */
export interface StreamFormat {
  contentType: string
  frame(part: object | string): string
  /** What says nothing: proxies close streams that are silent. */
  idle(): string
  /** What ends the stream when the answer fails. */
  failed(failure: Failure): object
}

/** A response that comes in parts, no faster than it is read, with a sign of life now and then. */
class ResponseStream implements Disposable {
  readonly #response: ServerResponse
  readonly #signal: AbortSignal
  readonly #format: StreamFormat
  readonly #heartbeat: NodeJS.Timeout

  /** From now on the reply is the stream's. @param signal aborts when the client is gone */
  constructor(reply: FastifyReply, signal: AbortSignal, format: StreamFormat) {
    reply.hijack()
    const response = reply.raw
    this.#response = response
    this.#signal = signal
    this.#format = format
    response.writeHead(200, {
      ...(reply.getHeaders() as Record<string, string>),
      'content-type': format.contentType,
      'cache-control': 'no-cache',
      // nginx holds answers back otherwise.
      'x-accel-buffering': 'no'
    })
    this.#heartbeat = setInterval(() => response.writableNeedDrain || response.write(format.idle()), HEARTBEAT_MS)
  }

  /** Resolves when there is room for more. @throws the signal's reason */
  async send(part: object | string): Promise<void> {
    this.#signal.throwIfAborted()
    if (this.#response.write(this.#format.frame(part))) return
    await once(this.#response, 'drain', { signal: this.#signal })
  }

  [Symbol.dispose](): void {
    clearInterval(this.#heartbeat)
    this.#response.end()
  }
}

/**
 * Nothing is sent before the first part, so that a failure until then has its own status; later ones end the stream.
 * @param parts undefined where there is nothing to say yet, but the answer has begun
 * @param signal aborts when the client is gone
 * @throws what the answer fails with before its first part
 */
export async function sendAll(
  parts: AsyncGenerator<object | string | undefined>,
  { reply, format, signal }: { reply: FastifyReply; format: StreamFormat; signal: AbortSignal }
): Promise<void> {
  try {
    const first = await parts.next()
    using stream = new ResponseStream(reply, signal, format)
    try {
      if (first.done !== true && first.value !== undefined) await stream.send(first.value)
      for await (const part of parts) if (part !== undefined) await stream.send(part)
    } catch (error) {
      await stream.send(format.failed(failureOf(error)))
    }
  } finally {
    await parts.return(undefined)
  }
}
