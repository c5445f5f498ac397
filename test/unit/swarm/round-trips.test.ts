import { describe, expect, it } from 'vitest'
import { needsRelay } from '../../../node/swarm/relay-client.js'
import { RoundTrips } from '../../../node/swarm/round-trips.js'

describe('RoundTrips', () => {
  it('is the smallest of the last sixteen', () => {
    const trips = new RoundTrips()
    expect(trips.get('a')).toBeUndefined()
    trips.add('a', 0.02)
    for (let sample = 0; sample < 15; sample++) trips.add('a', 0.08)
    expect(trips.get('a')).toBe(0.02)
    trips.add('a', 0.08)
    expect(trips.get('a')).toBe(0.08)
  })

  it('gives half of them, the nearest peers first', () => {
    const trips = new RoundTrips()
    trips.add('far', 0.2)
    trips.add('near', 0.02)
    trips.add('middle', 0.1)
    expect(trips.latencies(2)).toEqual([
      { peer: 'near', seconds: 0.01 },
      { peer: 'middle', seconds: 0.05 }
    ])
  })

  it('remembers a bounded number of peers', () => {
    const trips = new RoundTrips()
    for (let peer = 0; peer < 5000; peer++) trips.add(String(peer), 1)
    expect(trips.get('0')).toBeUndefined()
    expect(trips.get('4999')).toBe(1)
  })
})

describe('needsRelay', () => {
  const reachable = { listens: true, publicAddress: false, inbound: false, publicPeers: false }

  it.each([
    ['a node that listens nowhere', { ...reachable, listens: false }, true],
    ['a node on a local network', reachable, false],
    ['a node in a wide swarm that nobody reaches', { ...reachable, publicPeers: true }, true],
    ['a node that somebody has reached', { ...reachable, publicPeers: true, inbound: true }, false],
    ['a node with a public address', { ...reachable, publicPeers: true, publicAddress: true }, false]
  ])('%s', (_what, reachability, expected) => expect(needsRelay(reachability)).toBe(expected))
})
