import type { Listener, PeerId } from '@libp2p/interface'
import type { AddressManager, NodeAddress, TransportManager } from '@libp2p/interface-internal'
import { multiaddr, type Multiaddr } from '@multiformats/multiaddr'
import { isPublic, withoutLoopback, withPeer } from './addresses.js'

export interface OwnAddressesComponents {
  peerId: PeerId
  addressManager: AddressManager
  transportManager: TransportManager
}

/** Where this node can be reached, as far as it knows. */
export class OwnAddresses {
  readonly #components: OwnAddressesComponents

  constructor(components: OwnAddressesComponents) {
    this.#components = components
  }

  /** Listening at run time, for circuits. */
  async listen(addresses: Multiaddr[]): Promise<void> {
    await this.#components.transportManager.listen(addresses)
  }

  listeners(): Listener[] {
    return this.#components.transportManager.getListeners()
  }

  /** The owner has announced a public address, or a peer has dialled one: nobody's help is needed. */
  isPublic(): boolean {
    return this.#all().some(({ multiaddr: address, verified }) => verified && isPublic(address.toString()))
  }

  /**
   * What others are told. libp2p keeps a public address to itself until a peer has dialled it: the first node of a swarm
   * would never be found. Loopback is another machine to whoever reads it, and is told only when there is nothing else.
   */
  announced(verified: Multiaddr[]): Multiaddr[] {
    const peer = this.#components.peerId.toString()
    const untried = this.#all().filter(isUntried)
    const all = [...verified, ...untried.map(({ multiaddr: address }) => address)]
    return withoutLoopback(all.map(address => withPeer(address.toString(), peer))).map(address => multiaddr(address))
  }

  #all(): NodeAddress[] {
    return this.#components.addressManager.getAddressesWithMetadata()
  }
}

/** A public address of an interface of this machine, or of its router for it, that no peer has tried to dial yet. */
function isUntried({ multiaddr: address, type, verified, expires }: NodeAddress): boolean {
  const own = type === 'transport' || type === 'ip-mapping'
  return own && !verified && expires <= Date.now() && isPublic(address.toString())
}
