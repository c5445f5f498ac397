import type { Connection } from '@libp2p/interface'
import { SwarmError } from './errors.js'

/** The hello of whoever dialled: three round trips and a slow machine, and a little more than it gives itself. */
const STRANGER_MILLISECONDS = 15_000
/** A part of all connections: the others stay free for members, whoever knocks. */
const MAX_STRANGERS = 64

export type StrangerConnection = Pick<Connection, 'id' | 'remotePeer' | 'abort'>

export interface StrangerSettings {
  milliseconds?: number
  most?: number
}

/**
 * Inbound connections whose peers have not said hello yet. Each is closed when its time is over, and the oldest at once
 * when there are too many, unless its peer has become a member meanwhile.
 */
export class Strangers {
  readonly #isMember: (peer: string) => boolean
  readonly #milliseconds: number
  readonly #most: number
  /** By connection, the oldest first. */
  readonly #waiting = new Map<string, { connection: StrangerConnection; timer: NodeJS.Timeout }>()

  constructor(
    { isMember }: { isMember: (peer: string) => boolean },
    { milliseconds = STRANGER_MILLISECONDS, most = MAX_STRANGERS }: StrangerSettings = {}
  ) {
    this.#isMember = isMember
    this.#milliseconds = milliseconds
    this.#most = most
  }

  opened(connection: StrangerConnection): void {
    const timer = setTimeout(() => this.#judge(connection), this.#milliseconds)
    timer.unref()
    this.#waiting.set(connection.id, { connection, timer })
    for (const { connection: oldest } of this.#waiting.values()) {
      if (this.#waiting.size <= this.#most) return
      this.#judge(oldest)
    }
  }

  /** Nothing to do for a connection that is not here. */
  closed({ id }: Pick<Connection, 'id'>): void {
    clearTimeout(this.#waiting.get(id)?.timer)
    this.#waiting.delete(id)
  }

  stop(): void {
    for (const { connection } of this.#waiting.values()) this.closed(connection)
  }

  #judge(connection: StrangerConnection): void {
    this.closed(connection)
    const peer = connection.remotePeer.toString()
    if (this.#isMember(peer)) return
    connection.abort(new SwarmError('UNAUTHORIZED', `${peer} connected and has not said hello`, { details: { peer } }))
  }
}
