import { peerIdFromString } from '@libp2p/peer-id'
import { multiaddr } from '@multiformats/multiaddr'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { Strangers, type StrangerConnection } from '../../../node/swarm/strangers.js'
import { startLibp2p } from './nodes.js'
import { SWARM } from './records.js'

const PEERS = [
  '12D3KooWRuqQfuS6jQ1Dn1VWSnJPJSpZ3bZ2vJ1hTzqTqgGQbB5b',
  '12D3KooWGzBvVpYb5u9kDkWzbYpYpQ5jU8yJkCq7bQx7T5G1ZrZc'
]

describe('Strangers', () => {
  let cut: string[]
  let members: string[]

  beforeEach(() => {
    vi.useFakeTimers()
    cut = []
    members = []
  })

  afterEach(() => {
    vi.useRealTimers()
  })

  function connection(id: string, peer = PEERS[0] ?? ''): StrangerConnection {
    return { id, remotePeer: peerIdFromString(peer), abort: () => void cut.push(id) }
  }

  function strangers(settings = {}): Strangers {
    return new Strangers({ isMember: peer => members.includes(peer) }, settings)
  }

  it('cuts off who has not said hello in time, and leaves members alone', () => {
    const watch = strangers({ milliseconds: 100 })
    watch.opened(connection('stranger'))
    watch.opened(connection('gone'))
    watch.opened(connection('member', PEERS[1]))
    watch.closed(connection('gone'))
    members.push(PEERS[1] ?? '')
    // A member that comes a second time, without another hello.
    watch.opened(connection('again', PEERS[1]))
    vi.advanceTimersByTime(99)
    expect(cut).toEqual([])
    vi.advanceTimersByTime(1)
    expect(cut).toEqual(['stranger'])
    expect(vi.getTimerCount()).toBe(0)
  })

  it('cuts off the oldest stranger when too many come, and no member', () => {
    const watch = strangers({ most: 2 })
    members.push(PEERS[1] ?? '')
    watch.opened(connection('member', PEERS[1]))
    for (const id of ['first', 'second', 'third', 'fourth']) watch.opened(connection(id))
    expect(cut).toEqual(['first', 'second'])
    watch.stop()
    vi.runAllTimers()
    expect(cut).toEqual(['first', 'second'])
  })
})

describe('Hello', () => {
  it('closes the connection of a peer that dials and says nothing, and keeps that of a member', async () => {
    const strangers = { milliseconds: 500 }
    const server = await startLibp2p({ listen: ['/ip4/127.0.0.1/tcp/0'], hello: { swarm: SWARM, strangers } })
    const address = multiaddr(String(server.getMultiaddrs()[0]))
    const mute = await startLibp2p()
    const member = await startLibp2p({ hello: { swarm: SWARM, strangers } })
    const [silentConnection, connection] = [await mute.dial(address), await member.dial(address)]
    const again = await member.dial(address, { force: true })
    await vi.waitFor(() => expect(silentConnection.status).not.toBe('open'), 5_000)
    expect([connection.status, again.status]).toEqual(['open', 'open'])
    expect(server.getPeers().map(String)).toEqual([member.peerId.toString()])
  })
})
