import { beforeEach, describe, expect, it } from 'vitest'
import { DirectPaths } from '../../../node/swarm/direct-paths.js'
import type { LinkPath } from '../../../node/swarm/links.js'
import type { BookEntry } from '../../../node/swarm/record-book.js'
import { silent } from './nodes.js'

const PEER = '12D3KooWRuqQfuS6jQ1Dn1VWSnJPJSpZ3bZ2vJ1hTzqTqgGQbB5b'
const RELAY = '12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN'
const CIRCUIT = `/ip4/203.0.113.1/tcp/1/p2p/${RELAY}/p2p-circuit/p2p/${PEER}`
const OWN = `/ip4/203.0.113.9/tcp/1/p2p/${PEER}`
const { signal } = new AbortController()

describe('direct paths', () => {
  let now = 0
  let dials: string[][] = []
  let path: LinkPath = 'relayed'
  let addresses: string[] = []
  let paths: DirectPaths

  beforeEach(() => {
    now = 1_000
    dials = []
    path = 'relayed'
    addresses = [OWN, CIRCUIT]
    paths = new DirectPaths({
      libp2p: {
        dial: (to, options) => {
          expect(options).toMatchObject({ force: true })
          dials.push([to].flat().map(String))
          return Promise.reject(new Error('nobody is there'))
        }
      },
      book: { get: () => ({ record: { addresses } }) as BookEntry },
      links: { path: () => path },
      members: () => [PEER],
      logger: silent,
      now: () => now
    })
  })

  it('are looked for to members that are connected through a relay, where they say to be', async () => {
    await paths.check(signal)
    expect(dials).toEqual([[OWN]])
  })

  it.each(['direct', 'unconnected'] as const)('are not looked for where the path is %s', async other => {
    path = other
    await paths.check(signal)
    expect(dials).toEqual([])
  })

  it.each([
    ['a relay', [CIRCUIT]],
    ['loopback', [`/ip4/127.0.0.1/tcp/1/p2p/${PEER}`]]
  ])('are not looked for by way of %s', async (_what, known) => {
    addresses = known
    await paths.check(signal)
    expect(dials).toEqual([])
  })

  it('are tried once, again with other addresses after a rest, and now and then', async () => {
    await paths.check(signal)
    await paths.check(signal)
    expect(dials).toHaveLength(1)
    addresses = [`/ip4/203.0.113.10/tcp/1`, CIRCUIT]
    await paths.check(signal)
    expect(dials).toHaveLength(1)
    now += 5_000
    await paths.check(signal)
    expect(dials[1]).toEqual([`/ip4/203.0.113.10/tcp/1/p2p/${PEER}`])
    now += 600_000
    await paths.check(signal)
    expect(dials).toHaveLength(3)
  })
})
