import type { Libp2p, PeerInfo } from '@libp2p/interface'
import { deadline } from '../deadline.js'
import { parsePeerAddress } from './addresses.js'
import { Periodic } from './periodic.js'
import type { LogSink } from './libp2p-logger.js'

/** While all is well, the connections are looked at this often. */
const CHECK_MILLISECONDS = 5_000
/** The first dial that fails is repeated after this; doubled each time, up to the longest. */
const RETRY_MILLISECONDS = 500
const LONGEST_RETRY_MILLISECONDS = 60_000
const DIAL_MILLISECONDS = 10_000
/** Bootstrap nodes that stay connected: parts of a swarm find each other again through them. */
const WANTED = 3
/** Peers found on the local network that are dialled at a time. */
const MAX_DISCOVERY_DIALS = 8

interface BootstrapParts {
  libp2p: Libp2p
  logger: LogSink
  isConnected: (peer: string) => boolean
  /** There is room for another connection. */
  hasRoom: () => boolean
}

/**
 * Keeps bootstrap nodes connected, whenever they come, and dials what mDNS and the DHT discover: libp2p dials bootstrap
 * nodes once and discovered peers never.
 */
export class Bootstrap {
  readonly #parts: BootstrapParts
  readonly #nodes: ReturnType<typeof parsePeerAddress>[]
  readonly #loop: Periodic
  #wait = RETRY_MILLISECONDS
  #retry: NodeJS.Timeout | undefined
  #discovering = 0

  /** @throws SwarmError ADDRESS_INVALID */
  constructor(parts: BootstrapParts, { self, addresses }: { self: string; addresses: string[] }) {
    this.#parts = parts
    this.#nodes = addresses.map(parsePeerAddress).filter(({ peer }) => peer !== self)
    this.#loop = new Periodic(
      { work: signal => this.#check(signal), logger: parts.logger },
      { milliseconds: CHECK_MILLISECONDS }
    )
  }

  start(): void {
    this.#parts.libp2p.addEventListener('peer:discovery', this.#onDiscovery)
    this.#loop.poke()
  }

  stop(): void {
    this.#parts.libp2p.removeEventListener('peer:discovery', this.#onDiscovery)
    clearTimeout(this.#retry)
    this.#loop.stop()
  }

  async #check(signal: AbortSignal): Promise<void> {
    if (this.#retry !== undefined) return
    const missing = this.#nodes.filter(({ peer }) => !this.#parts.isConnected(peer))
    const peers = new Set(this.#nodes.map(({ peer }) => peer))
    const connected = peers.size - new Set(missing.map(({ peer }) => peer)).size
    if (missing.length === 0 || connected >= Math.min(WANTED, peers.size)) return
    const dials = await Promise.allSettled(missing.map(({ address }) => this.#dial(address, signal)))
    if (signal.aborted) return
    const reached = dials.some(dial => dial.status === 'fulfilled')
    this.#retryLater(reached ? RETRY_MILLISECONDS : this.#wait)
    this.#wait = reached ? RETRY_MILLISECONDS : Math.min(this.#wait * 2, LONGEST_RETRY_MILLISECONDS)
  }

  #retryLater(milliseconds: number): void {
    this.#retry = setTimeout(
      () => {
        this.#retry = undefined
        this.#loop.poke()
      },
      milliseconds * (0.75 + Math.random() / 2)
    )
    this.#retry.unref()
  }

  async #dial(address: Parameters<Libp2p['dial']>[0], parent: AbortSignal): Promise<void> {
    using limit = deadline('dialling a bootstrap node', DIAL_MILLISECONDS, parent)
    await this.#parts.libp2p.dial(address, { signal: limit.signal })
  }

  readonly #onDiscovery = ({ detail }: CustomEvent<PeerInfo>): void => {
    const { isConnected, hasRoom } = this.#parts
    if (isConnected(detail.id.toString()) || !hasRoom() || this.#discovering >= MAX_DISCOVERY_DIALS) return
    this.#discovering += 1
    this.#dial(detail.id, this.#loop.signal)
      // It may be discovered again.
      .catch(() => undefined)
      .finally(() => (this.#discovering -= 1))
  }
}
