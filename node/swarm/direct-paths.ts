import { asError } from '../../protocol/errors.js'
import { deadline } from '../deadline.js'
import { isCircuit, isLoopback, parseAddresses, withPeer } from './addresses.js'
import type { SwarmLibp2p } from './libp2p.js'
import type { LogSink } from './libp2p-logger.js'
import type { Links } from './links.js'
import { Periodic } from './periodic.js'
import type { RecordBook } from './record-book.js'

/** How often relayed connections are looked at. */
const CHECK_MILLISECONDS = 15_000
/** The same addresses are dialled again after this: a router may have been told to let others in. */
const AGAIN_MILLISECONDS = 600_000
/** No peer is dialled more often, whatever new addresses it tells: it would choose how often this node dials whom. */
const REST_MILLISECONDS = 5_000
/** All addresses of a peer, one after the other. */
const DIAL_MILLISECONDS = 20_000
/** Peers that are dialled in one turn, at the same time. */
const MAX_DIALS = 4

export interface DirectPathsParts {
  libp2p: Pick<SwarmLibp2p, 'dial'>
  book: Pick<RecordBook, 'get'>
  links: Pick<Links, 'path'>
  members: () => string[]
  logger: LogSink
  /** Milliseconds since 1970. */
  now: () => number
}

/** Addresses that were dialled, and when. */
interface Attempt {
  addresses: string
  at: number
}

/**
 * Looks for a direct path to members that are connected through a relay: when they were met, the router of one of them
 * may not have forwarded its port yet. The relayed connection stays for what runs over it.
 */
export class DirectPaths {
  readonly #parts: DirectPathsParts
  readonly #loop: Periodic
  /** By peer: only of those that are relayed now. */
  #attempts = new Map<string, Attempt>()

  constructor(parts: DirectPathsParts) {
    this.#parts = parts
    this.#loop = new Periodic(
      { work: signal => this.check(signal), logger: parts.logger },
      { milliseconds: CHECK_MILLISECONDS }
    )
  }

  /** Looks now, and from now on every so often: somebody may have told new addresses. */
  poke(): void {
    this.#loop.poke()
  }

  stop(): void {
    this.#loop.stop()
  }

  /** One turn. */
  async check(signal: AbortSignal): Promise<void> {
    const { links, members, now } = this.#parts
    const relayed = members().filter(peer => links.path(peer) === 'relayed')
    this.#attempts = new Map([...this.#attempts].filter(([peer]) => relayed.includes(peer)))
    const due = relayed.flatMap(peer => {
      const addresses = this.#addresses(peer)
      const last = this.#attempts.get(peer)
      const rest = last?.addresses === addresses.join() ? AGAIN_MILLISECONDS : REST_MILLISECONDS
      const tried = last !== undefined && now() - last.at < rest
      return addresses.length === 0 || tried ? [] : [{ peer, addresses }]
    })
    await Promise.all(due.slice(0, MAX_DIALS).map(({ peer, addresses }) => this.#dial(peer, addresses, signal)))
  }

  async #dial(peer: string, addresses: string[], parent: AbortSignal): Promise<void> {
    const { libp2p, logger, now } = this.#parts
    this.#attempts.set(peer, { addresses: addresses.join(), at: now() })
    using limit = deadline(`a direct path to ${peer}`, DIAL_MILLISECONDS, parent)
    try {
      await libp2p.dial(parseAddresses(addresses), { signal: limit.signal, force: true })
      logger.debug({ peer }, 'a direct path is found')
    } catch (error) {
      logger.debug({ peer, err: asError(error) }, 'no direct path yet')
    }
  }

  /** Where the peer may be reached without a relay. */
  #addresses(peer: string): string[] {
    const addresses = this.#parts.book.get(peer)?.record.addresses ?? []
    const direct = addresses.filter(address => !isCircuit(address) && !isLoopback(address))
    return direct.map(address => withPeer(address, peer)).sort()
  }
}
