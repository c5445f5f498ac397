import type { ServerResponse } from 'node:http'
import type { FastifyReply } from 'fastify'
import { asError } from '../../../protocol/errors.js'
import type { Logger } from '../../logger.js'
import { HEARTBEAT_MS } from '../constants.js'
import { GatewayError } from '../errors.js'
import { LOOK_MS, MAX_LISTENERS } from './constants.js'

/** What there is to tell, by its event's name. */
export type Snapshots = Readonly<Record<string, object>>

export interface FeedParts {
  read: () => Promise<Snapshots>
  logger: Pick<Logger, 'warn'>
}

/**
 * Tells pages that are open what has changed, as server-sent events: each snapshot at first and whenever it differs from
 * the one before, at most once in `LOOK_MS`. While nobody listens it looks at nothing.
 */
export class Feed {
  readonly #parts: FeedParts
  readonly #listeners = new Set<Listener>()
  #timer: NodeJS.Timeout | undefined

  constructor(parts: FeedParts) {
    this.#parts = parts
  }

  get listeners(): number {
    return this.#listeners.size
  }

  /** Until its client leaves. @throws GatewayError OVERLOADED; what reading fails with */
  async listen(reply: FastifyReply): Promise<void> {
    const snapshots = texts(await this.#parts.read())
    if (this.#listeners.size >= MAX_LISTENERS) {
      throw new GatewayError('OVERLOADED', `${MAX_LISTENERS} pages of this node are open already: close one.`)
    }
    if (reply.raw.destroyed) return
    const listener = new Listener(reply)
    this.#listeners.add(listener)
    reply.raw.once('close', () => this.#forget(listener))
    listener.tell(snapshots)
    if (this.#timer === undefined) this.#lookLater()
  }

  stop(): void {
    for (const listener of this.#listeners) this.#forget(listener)
  }

  #forget(listener: Listener): void {
    listener[Symbol.dispose]()
    this.#listeners.delete(listener)
    if (this.#listeners.size > 0) return
    clearTimeout(this.#timer)
    this.#timer = undefined
  }

  #lookLater(): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => void this.#look(), LOOK_MS)
  }

  async #look(): Promise<void> {
    try {
      const snapshots = texts(await this.#parts.read())
      for (const listener of this.#listeners) listener.tell(snapshots)
    } catch (error) {
      this.#parts.logger.warn({ err: asError(error) }, 'the page cannot be told what there is')
    }
    if (this.#listeners.size > 0) this.#lookLater()
    else this.#timer = undefined
  }
}

/** One page. */
class Listener implements Disposable {
  readonly #response: ServerResponse
  readonly #heartbeat: NodeJS.Timeout
  /** By name: what it was told last. */
  readonly #told = new Map<string, string>()

  /** From now on the reply is the listener's. */
  constructor(reply: FastifyReply) {
    reply.hijack()
    const response = reply.raw
    this.#response = response
    response.writeHead(200, {
      ...(reply.getHeaders() as Record<string, string>),
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-store',
      'x-accel-buffering': 'no'
    })
    this.#heartbeat = setInterval(() => response.writableNeedDrain || response.write(':\n\n'), HEARTBEAT_MS)
  }

  /** What is new to it. One that reads too slowly misses what came between, and gets the newest later. */
  tell(snapshots: ReadonlyMap<string, string>): void {
    if (this.#response.writableNeedDrain) return
    for (const [name, text] of snapshots) {
      if (this.#told.get(name) === text) continue
      this.#told.set(name, text)
      this.#response.write(`event: ${name}\ndata: ${text}\n\n`)
    }
  }

  [Symbol.dispose](): void {
    clearInterval(this.#heartbeat)
    this.#response.end()
  }
}

function texts(snapshots: Snapshots): Map<string, string> {
  return new Map(Object.entries(snapshots).map(([name, value]) => [name, JSON.stringify(value)]))
}
