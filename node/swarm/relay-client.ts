import { multiaddr } from '@multiformats/multiaddr'
import { asError } from '../../protocol/errors.js'
import { isCircuit, isPublic } from './addresses.js'
import type { SwarmLibp2p } from './libp2p.js'
import type { LogSink } from './libp2p-logger.js'
import { isRelayed, type Links } from './links.js'
import { Periodic } from './periodic.js'
import type { RecordBook } from './record-book.js'

/** How often a node looks whether it can be reached. */
const CHECK_MILLISECONDS = 15_000

export interface Reachability {
  /** On an address of its own. */
  listens: boolean
  /** One of its own addresses is known to be dialled from anywhere. */
  publicAddress: boolean
  /** Somebody from outside of its local network has connected to it directly. */
  inbound: boolean
  /** It is connected to nodes with public addresses: its swarm is wider than a local network. */
  publicPeers: boolean
}

/** Whether a node should let itself be reached through a relay. */
export function needsRelay({ listens, publicAddress, inbound, publicPeers }: Reachability): boolean {
  return !listens || (publicPeers && !publicAddress && !inbound)
}

interface RelayClientParts {
  libp2p: SwarmLibp2p
  book: RecordBook
  links: Links
  isMember: (peer: string) => boolean
  logger: LogSink
}

/** Lets a node that nobody can dial be dialled through a member that relays. */
export class RelayClient {
  readonly #parts: RelayClientParts
  readonly #listens: boolean
  readonly #loop: Periodic

  constructor(parts: RelayClientParts, { listens }: { listens: boolean }) {
    this.#parts = parts
    this.#listens = listens
    this.#loop = new Periodic({ work: () => this.#check(), logger: parts.logger }, { milliseconds: CHECK_MILLISECONDS })
  }

  /** A relay may have become known. */
  poke(): void {
    this.#loop.poke()
  }

  stop(): void {
    this.#loop.stop()
  }

  async #check(): Promise<void> {
    const { libp2p, logger } = this.#parts
    if (!needsRelay(this.#reachability()) || this.#circuits().length > 0) return
    await this.#closeStaleListeners()
    for (const { peer, address } of this.#relays()) {
      try {
        await libp2p.services.ownAddresses.listen([multiaddr(`${address}/p2p-circuit`)])
        logger.debug({ relay: peer }, 'reachable through a relay')
        return
      } catch (error) {
        logger.debug({ relay: peer, err: asError(error) }, 'the relay gave no reservation')
      }
    }
  }

  #circuits(): string[] {
    return this.#parts.libp2p.getMultiaddrs().map(String).filter(isCircuit)
  }

  /** Members that relay and are connected directly, the address of that connection first. */
  #relays(): { peer: string; address: string }[] {
    const { book, links, isMember } = this.#parts
    return book.entries().flatMap(({ peer, record }) => {
      const connection = links.best(peer)
      if (!record.relay || !isMember(peer) || connection === undefined || isRelayed(connection)) return []
      return [{ peer, address: `${connection.remoteAddr.decapsulate('/p2p').toString()}/p2p/${peer}` }]
    })
  }

  #reachability(): Reachability {
    const { libp2p } = this.#parts
    const wide = libp2p
      .getConnections()
      .filter(connection => !isRelayed(connection) && isPublic(connection.remoteAddr.toString()))
    return {
      listens: this.#listens,
      publicAddress: libp2p.services.ownAddresses.isPublic(),
      inbound: wide.some(connection => connection.direction === 'inbound'),
      publicPeers: wide.length > 0
    }
  }

  /** A circuit listener whose relay is gone has no address left and would only pile up. */
  async #closeStaleListeners(): Promise<void> {
    const stale = this.#parts.libp2p.services.ownAddresses
      .listeners()
      .filter(listener => listener.getAddrs().length === 0)
    await Promise.allSettled(stale.map(listener => listener.close()))
  }
}
