import { once } from 'node:events'
import { createServer, type AddressInfo, type Socket } from 'node:net'
import { describe, expect, it, vi } from 'vitest'
import { createMembership } from '../../../node/swarm/membership.js'
import { NetworkCounts, type NetworkReading } from '../../../node/swarm/network-counts.js'
import { createIdentity } from '../../../node/swarm/identity.js'
import { startNode } from './nodes.js'

const SOON = { timeout: 8_000, interval: 20 }

const streams = (reading: NetworkReading, wanted: string): Record<string, number> =>
  Object.fromEntries(
    reading.streams.filter(({ protocol }) => protocol === wanted).map(({ direction, count }) => [direction, count])
  )

const direct = (reading: NetworkReading): Record<string, number> =>
  Object.fromEntries(
    reading.connections.filter(({ path }) => path === 'direct').map(({ direction, count }) => [direction, count])
  )

describe('what libp2p has open', () => {
  it('is nothing before there is a libp2p, with every kind told', () => {
    const reading = new NetworkCounts(() => undefined).read()
    expect(reading.connections.map(({ direction, path, count }) => [direction, path, count])).toEqual([
      ...[
        ['inbound', 'direct', 0],
        ['inbound', 'relayed', 0]
      ],
      ...[
        ['outbound', 'direct', 0],
        ['outbound', 'relayed', 0]
      ]
    ])
    expect(new Set(reading.streams.map(({ protocol }) => protocol)).size).toBe(11)
    expect(reading.streams.every(({ count }) => count === 0)).toBe(true)
    expect([reading.dials, reading.opened]).toEqual([
      ...[
        { active: 0, queued: 0 },
        { inbound: 0, outbound: 0 }
      ]
    ])
  })

  it('is told by who opened it, and by protocol', async () => {
    const membership = createMembership('test')
    const server = await startNode(membership)
    const client = await startNode(membership)
    await server.handle('/flambeau/pieces/1.0.0', () => undefined)
    await server.handle('/flambeau/made-up/1.0.0', () => undefined)
    await client.connect(server.peer, { addresses: server.addresses() })
    const [pieces, other] = [
      await client.openStream(server.peer, '/flambeau/pieces/1.0.0'),
      await client.openStream(server.peer, '/flambeau/made-up/1.0.0')
    ]
    const reading = client.counts.read()
    expect([direct(reading), reading.opened]).toEqual([
      { inbound: 0, outbound: 1 },
      { inbound: 0, outbound: 1 }
    ])
    expect(direct(server.counts.read())).toEqual({ inbound: 1, outbound: 0 })
    expect(streams(reading, 'pieces')).toEqual({ inbound: 0, outbound: 1 })
    expect(streams(reading, 'other')['outbound']).toBeGreaterThanOrEqual(1)
    await vi.waitFor(() => expect(streams(server.counts.read(), 'pieces')).toEqual({ inbound: 1, outbound: 0 }), SOON)
    pieces.abort(new Error('enough'))
    other.abort(new Error('enough'))
    expect(streams(client.counts.read(), 'pieces')).toEqual({ inbound: 0, outbound: 0 })
    await client.stop()
    await vi.waitFor(() => expect(direct(server.counts.read())).toEqual({ inbound: 0, outbound: 0 }), SOON)
    expect(server.counts.read().opened).toEqual({ inbound: 1, outbound: 0 })
  })

  it('has those that are being dialled', async () => {
    const client = await startNode(createMembership('test'))
    const sockets: Socket[] = []
    const silent = createServer(socket => sockets.push(socket)).listen(0, '127.0.0.1')
    await once(silent, 'listening')
    const { peer } = await createIdentity()
    const abort = new AbortController()
    const { port } = silent.address() as AddressInfo
    const dialling = client.connect(peer, {
      addresses: [`/ip4/127.0.0.1/tcp/${port}/p2p/${peer}`],
      signal: abort.signal
    })
    await vi.waitFor(() => expect(client.counts.read().dials).toEqual({ active: 1, queued: 0 }), SOON)
    abort.abort()
    await expect(dialling).rejects.toThrow()
    await vi.waitFor(() => expect(client.counts.read().dials).toEqual({ active: 0, queued: 0 }), SOON)
    for (const socket of sockets) socket.destroy()
    silent.close()
  })
})
