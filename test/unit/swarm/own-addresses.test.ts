import type { NodeAddress } from '@libp2p/interface-internal'
import { peerIdFromString } from '@libp2p/peer-id'
import { multiaddr } from '@multiformats/multiaddr'
import { describe, expect, it } from 'vitest'
import { OwnAddresses, type OwnAddressesComponents } from '../../../node/swarm/own-addresses.js'

const PEER = '12D3KooWRuqQfuS6jQ1Dn1VWSnJPJSpZ3bZ2vJ1hTzqTqgGQbB5b'
const LATER = Date.now() + 600_000

/** As libp2p's address manager tells of them. */
function addressesOf(all: (Partial<NodeAddress> & { at: string })[]): OwnAddresses {
  const known = all.map(({ at, ...rest }): NodeAddress => ({
    ...{ multiaddr: multiaddr(at), type: 'transport', verified: false, expires: 0 },
    ...rest
  }))
  const addressManager = { getAddressesWithMetadata: () => known }
  return new OwnAddresses({ peerId: peerIdFromString(PEER), addressManager } as unknown as OwnAddressesComponents)
}

const PUBLIC = '/ip4/203.0.113.9/tcp/1'
const LAN = `/ip4/192.168.1.2/tcp/1/p2p/${PEER}`

describe('announced addresses', () => {
  it.each([
    ['a public address of its own that nobody has tried', { at: PUBLIC }, true],
    ['one that the router gave it', { at: PUBLIC, type: 'ip-mapping' as const }, true],
    ['one that others have tried in vain', { at: PUBLIC, expires: LATER }, false],
    ['where others saw a connection come from', { at: PUBLIC, type: 'observed' as const }, false],
    ['one of the local network that libp2p does not count as its own', { at: '/ip4/10.0.0.1/tcp/1' }, false]
  ])('with %s: %s', (_what, address, expected) => {
    const announced = addressesOf([address])
      .announced([multiaddr(LAN)])
      .map(String)
    expect(announced).toEqual(expected ? [LAN, `${PUBLIC}/p2p/${PEER}`] : [LAN])
  })

  it('are loopback only where there are no others', () => {
    const loopback = multiaddr(`/ip4/127.0.0.1/tcp/1/p2p/${PEER}`)
    expect(addressesOf([]).announced([loopback])).toEqual([loopback])
    expect(
      addressesOf([{ at: PUBLIC }])
        .announced([loopback])
        .map(String)
    ).toEqual([`${PUBLIC}/p2p/${PEER}`])
  })
})

describe('a node is public', () => {
  it.each([
    ['once a peer has dialled its public address', { at: PUBLIC, verified: true }, true],
    ['not while nobody has', { at: PUBLIC }, false],
    ['not by an address of its local network', { at: '/ip4/192.168.1.2/tcp/1', verified: true }, false]
  ])('%s', (_what, address, expected) => expect(addressesOf([address]).isPublic()).toBe(expected))
})
