import { peerIdFromString } from '@libp2p/peer-id'
import { multiaddr, type Multiaddr } from '@multiformats/multiaddr'
import { SwarmError } from './errors.js'
import { ipScope, type IpScope } from './ip-scope.js'

const CIRCUIT = '/p2p-circuit'

/** Without the peer: `/ip4/.../tcp/1` of `/ip4/.../tcp/1/p2p/12D3...`. */
type Address = string

export function isLoopback(address: Address): boolean {
  return scopeOf(address) === 'loopback'
}

export function isCircuit(address: Address): boolean {
  return address.includes(CIRCUIT)
}

/** Can be dialled from anywhere: a DNS name or an IP address outside the private, link-local and shared ranges. */
export function isPublic(address: Address): boolean {
  return !isCircuit(address) && (isName(address) || scopeOf(address) === 'public')
}

/**
 * Dialling it stays outside of this node's own network: it is a public IP address, or a circuit through a relay at one.
 * A name may stand for anything.
 */
export function leadsOutside(address: Address): boolean {
  return scopeOf(address) === 'public'
}

function isName(address: Address): boolean {
  return address.startsWith('/dns')
}

/** Of the host that is dialled, a relay's for a circuit; undefined without an IP address. */
function scopeOf(address: Address): IpScope | undefined {
  const [, kind, host = ''] = address.split('/')
  return kind === 'ip4' || kind === 'ip6' ? ipScope(host) : undefined
}

/** From where addresses can be dialled: the widest of them counts. */
export type Reach = 'anywhere' | 'through a relay' | 'local network' | 'this machine' | 'nowhere'

export function reachOf(addresses: readonly Address[]): Reach {
  if (addresses.some(isPublic)) return 'anywhere'
  if (addresses.some(isCircuit)) return 'through a relay'
  if (addresses.some(address => !isLoopback(address))) return 'local network'
  return addresses.length > 0 ? 'this machine' : 'nowhere'
}

/**
 * Loopback addresses mean another machine to whoever reads them, so they are dropped unless there is nothing else
 * (nodes on one machine without a network).
 */
export function withoutLoopback(addresses: Address[]): Address[] {
  const others = addresses.filter(address => !isLoopback(address))
  return others.length > 0 ? others : addresses
}

/** With `/p2p/<peer>` at its end, once. */
export function withPeer(address: Address, peer: string): Address {
  return address.endsWith(`/p2p/${peer}`) ? address : `${address}/p2p/${peer}`
}

/** The peer that an address leads to; undefined without one. */
export function peerOf(address: Address): string | undefined {
  return /\/p2p\/([0-9A-Za-z]+)$/.exec(address)?.[1]
}

/**
 * Addresses from people (bootstrap, invitations).
 * @throws SwarmError ADDRESS_INVALID
 */
export function parsePeerAddress(address: Address): { peer: string; address: Multiaddr } {
  try {
    const peer = peerOf(address)
    if (peer === undefined) throw new Error('it does not end in /p2p/ and a peer id')
    return { peer: peerIdFromString(peer).toString(), address: multiaddr(address) }
  } catch (cause) {
    throw new SwarmError(
      'ADDRESS_INVALID',
      `${JSON.stringify(address)} is not the address of a node. One looks like /ip4/203.0.113.7/tcp/27470/p2p/12D3KooW...`,
      { details: { address }, cause }
    )
  }
}

/** Addresses from other nodes: what does not parse is left out. */
export function parseAddresses(addresses: Address[]): Multiaddr[] {
  return addresses.flatMap(address => {
    try {
      return [multiaddr(address)]
    } catch {
      // A newer node may know address kinds that this one does not.
      return []
    }
  })
}
