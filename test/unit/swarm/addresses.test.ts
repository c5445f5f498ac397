import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  isCircuit,
  isLoopback,
  isPublic,
  leadsOutside,
  parseAddresses,
  parsePeerAddress,
  peerOf,
  reachOf,
  withoutLoopback,
  withPeer
} from '../../../node/swarm/addresses.js'

const PEER = '12D3KooWRuqQfuS6jQ1Dn1VWSnJPJSpZ3bZ2vJ1hTzqTqgGQbB5b'

describe('addresses', () => {
  it.each([
    ['/ip4/127.0.0.1/tcp/1', true],
    ['/ip4/127.8.0.1/tcp/1', true],
    ['/ip6/::1/tcp/1', true],
    ['/ip4/192.168.1.127/tcp/1', false],
    ['/ip6/::1234/tcp/1', false],
    ['/ip6/0:0:0:0:0:0:0:1/tcp/1', true],
    ['/ip6/::ffff:127.0.0.1/tcp/1', true],
    ['/ip6/::ffff:7f00:1/tcp/1', true],
    ['/dns4/localhost/tcp/1', false]
  ])('%s is loopback: %s', (address, expected) => expect(isLoopback(address)).toBe(expected))

  it.each([
    ['/ip4/203.0.113.9/tcp/1', true],
    ['/ip4/172.15.0.1/tcp/1', true],
    ['/ip4/172.16.0.1/tcp/1', false],
    ['/ip4/172.31.0.1/tcp/1', false],
    ['/ip4/172.32.0.1/tcp/1', true],
    ['/ip4/10.0.0.1/tcp/1', false],
    ['/ip4/100.64.0.1/tcp/1', false],
    ['/ip4/100.128.0.1/tcp/1', true],
    ['/ip4/169.254.1.1/tcp/1', false],
    ['/ip4/127.0.0.1/tcp/1', false],
    ['/ip6/2001:db8::1/tcp/1', true],
    ['/ip6/fd00::1/tcp/1', false],
    ['/ip6/fe80::1/tcp/1', false],
    ['/ip6/::1/tcp/1', false],
    ['/ip6/::/tcp/1', false],
    ['/ip6/ff02::1/tcp/1', false],
    ['/ip6/::ffff:10.0.0.1/tcp/1', false],
    ['/ip6/0:0:0:0:0:ffff:a00:1/tcp/1', false],
    ['/ip6/::ffff:203.0.113.9/tcp/1', true],
    ['/ip6/64:ff9b::10.0.0.1/tcp/1', false],
    ['/ip6/64:ff9b::cb00:7109/tcp/1', true],
    ['/ip6/64:ff9b:1::cb00:7109/tcp/1', false],
    ['/ip6/2002:c0a8:101::1/tcp/1', false],
    ['/ip6/2002:cb00:7109::1/tcp/1', true],
    // Teredo: the last four bytes, inverted, are 192.168.1.1 and 203.0.113.9.
    ['/ip6/2001:0:cb00:7109:0:0:3f57:fefe/tcp/1', false],
    ['/ip6/2001:0:cb00:7109:0:0:34ff:8ef6/tcp/1', true],
    ['/ip4/0.0.0.0/tcp/1', false],
    ['/ip4/224.0.0.1/tcp/1', false],
    ['/dns4/node.example/tcp/1', true],
    [`/ip4/203.0.113.9/tcp/1/p2p/${PEER}/p2p-circuit`, false],
    ['nonsense', false]
  ])('%s is public: %s', (address, expected) => expect(isPublic(address)).toBe(expected))

  it.each([
    ['/ip4/203.0.113.9/tcp/1', true],
    [`/ip4/203.0.113.9/tcp/1/p2p/${PEER}/p2p-circuit`, true],
    [`/ip4/10.0.0.1/tcp/1/p2p/${PEER}/p2p-circuit/p2p/${PEER}`, false],
    ['/ip4/127.0.0.1/tcp/1', false],
    ['/ip6/::ffff:192.168.0.1/tcp/1', false],
    ['/ip6/64:ff9b::192.168.0.1/tcp/1', false],
    ['/dns4/node.example/tcp/1', false],
    [`/dns/node.example/tcp/1/p2p/${PEER}/p2p-circuit`, false],
    ['/p2p-circuit', false]
  ])('%s leads outside: %s', (address, expected) => expect(leadsOutside(address)).toBe(expected))

  it.each([
    [['/ip4/127.0.0.1/tcp/1', '/ip4/10.0.0.1/tcp/1', '/ip4/203.0.113.9/tcp/1'], 'anywhere'],
    [['/ip4/10.0.0.1/tcp/1', `/ip4/203.0.113.9/tcp/1/p2p/${PEER}/p2p-circuit`], 'through a relay'],
    [['/ip4/127.0.0.1/tcp/1', '/ip4/10.0.0.1/tcp/1'], 'local network'],
    [['/ip6/::1/tcp/1'], 'this machine'],
    [[], 'nowhere']
  ])('%j are reached from: %s', (addresses, expected) => expect(reachOf(addresses)).toBe(expected))

  it('drops loopback addresses unless there are no others', () => {
    const own = ['/ip4/127.0.0.1/tcp/1', '/ip4/192.168.1.2/tcp/1', '/ip6/::1/tcp/1']
    expect(withoutLoopback(own)).toEqual(['/ip4/192.168.1.2/tcp/1'])
    expect(withoutLoopback(['/ip4/127.0.0.1/tcp/1'])).toEqual(['/ip4/127.0.0.1/tcp/1'])
    expect(withoutLoopback([])).toEqual([])
  })

  it('adds a peer once and reads it back', () => {
    const address = withPeer('/ip4/192.0.2.1/tcp/1', PEER)
    expect(withPeer(address, PEER)).toBe(address)
    expect(peerOf(address)).toBe(PEER)
    expect(peerOf('/ip4/192.0.2.1/tcp/1')).toBeUndefined()
    expect(isCircuit(`${address}/p2p-circuit/p2p/${PEER}`)).toBe(true)
  })

  it('says what is wrong with an address that a person gave', () => {
    for (const address of [
      '',
      'example.org',
      '/ip4/1.2.3.4/tcp/1',
      '/ip4/1.2.3.4/tcp/1/p2p/nobody',
      `/ip9/x/p2p/${PEER}`
    ]) {
      expect(() => parsePeerAddress(address)).toThrow(expect.objectContaining({ code: 'ADDRESS_INVALID' }) as Error)
    }
  })

  it('leaves out what it cannot read in addresses from others', () => {
    expect(parseAddresses(['/ip4/1.2.3.4/tcp/1', '/nonsense/1', '']).map(String)).toContain('/ip4/1.2.3.4/tcp/1')
    fc.assert(fc.property(fc.array(fc.string({ maxLength: 60 })), texts => void parseAddresses(texts)))
  })
})
