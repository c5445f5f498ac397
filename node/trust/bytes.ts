import { MAX_UNSENT_BYTES_PER_PEER, MAX_WAITING_BYTES_PER_PEER } from './constants.js'

/** Bytes of steps that wait for the engine, by the peer whose sessions they are of. */
export class WaitingBytes {
  readonly #most: number
  readonly #bytes = new Map<string, number>()

  constructor({ most = MAX_WAITING_BYTES_PER_PEER }: { most?: number } = {}) {
    this.#most = most
  }

  /** A place for so many bytes, to be disposed of when they wait no longer; undefined where they are too many. */
  enter(peer: string, bytes: number): Disposable | undefined {
    const waiting = (this.#bytes.get(peer) ?? 0) + bytes
    if (waiting > this.#most) return undefined
    this.#bytes.set(peer, waiting)
    return { [Symbol.dispose]: () => this.#leave(peer, bytes) }
  }

  #leave(peer: string, bytes: number): void {
    const waiting = (this.#bytes.get(peer) ?? 0) - bytes
    if (waiting > 0) this.#bytes.set(peer, waiting)
    else this.#bytes.delete(peer)
  }
}

/** Of a libp2p stream. */
interface Sending {
  readonly writeBufferLength: number
}

/** The streams in which something may wait for a peer to read it, over all of its connections. */
export class UnsentBytes {
  readonly #most: number
  readonly #streams = new Map<string, Set<Sending>>()

  constructor({ most = MAX_UNSENT_BYTES_PER_PEER }: { most?: number } = {}) {
    this.#most = most
  }

  /** To be disposed of with the stream. */
  watch(peer: string, stream: Sending): Disposable {
    const streams = this.#streams.get(peer) ?? new Set()
    this.#streams.set(peer, streams.add(stream))
    return {
      [Symbol.dispose]: () => {
        streams.delete(stream)
        if (streams.size === 0) this.#streams.delete(peer)
      }
    }
  }

  /** True when the peer lets more wait than it may. */
  tooMany(peer: string): boolean {
    let bytes = 0
    for (const { writeBufferLength } of this.#streams.get(peer) ?? []) bytes += writeBufferLength
    return bytes > this.#most
  }
}
