import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import { HEARTBEAT_MS } from './constants.js'

/** Server-sent events (WHATWG HTML, section 9.2), no faster than they are read, with a comment now and then. */
export class EventStream implements Disposable {
  readonly #response: ServerResponse
  readonly #signal: AbortSignal
  readonly #heartbeat: NodeJS.Timeout

  /** @param signal aborts when the client is gone @param headers next to those of the stream itself */
  constructor(response: ServerResponse, signal: AbortSignal, headers: Record<string, string | string[]> = {}) {
    this.#response = response
    this.#signal = signal
    response.writeHead(200, {
      ...headers,
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-cache',
      // nginx holds answers back otherwise.
      'x-accel-buffering': 'no'
    })
    this.#heartbeat = setInterval(() => response.writableNeedDrain || response.write(':\n\n'), HEARTBEAT_MS)
  }

  /** Resolves when there is room for more. @throws the signal's reason */
  async send(data: object | string): Promise<void> {
    this.#signal.throwIfAborted()
    const text = typeof data === 'string' ? data : JSON.stringify(data)
    if (!this.#response.write(`data: ${text}\n\n`)) await once(this.#response, 'drain', { signal: this.#signal })
  }

  [Symbol.dispose](): void {
    clearInterval(this.#heartbeat)
    this.#response.end()
  }
}
