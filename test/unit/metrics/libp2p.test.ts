import { Registry } from 'prom-client'
import { describe, expect, it, vi } from 'vitest'
import { libp2pMetrics } from '../../../node/metrics/libp2p.js'
import { createIdentity } from '../../../node/swarm/identity.js'
import { createMembership } from '../../../node/swarm/membership.js'
import { parseExposition, valueOf } from '../../support/exposition.js'
import { closedDoor, startNode } from '../swarm/nodes.js'

const PIECES = '/flambeau/pieces/1.0.0'
const STREAMS = 'libp2p_protocol_streams_total'
const SOON = { timeout: 8_000, interval: 20 }

describe("libp2p's own metrics", () => {
  it('tell connections, streams and bytes of a node, its table of the DHT, and dials that failed', async () => {
    const registry = new Registry()
    const value = async (name: string, label?: string, one = ''): Promise<number | undefined> =>
      valueOf(parseExposition(await registry.metrics()), name, label === undefined ? {} : { [label]: one })
    const connections = 'libp2p_connection_manager_connections'
    const membership = createMembership('test')
    const server = await startNode(membership)
    const client = await startNode(membership, { metrics: libp2pMetrics(registry) })
    await server.handle(PIECES, stream => stream.addEventListener('message', ({ data }) => stream.send(data)))

    await client.connect(server.peer, { addresses: server.addresses() })
    expect(await value(connections, connections, 'outbound')).toBe(1)
    expect(await value(connections, connections, 'inbound')).toBe(0)
    await vi.waitFor(async () => expect(await value('libp2p_kad_dht_routing_table_size')).toBe(1), SOON)

    const stream = await client.openStream(server.peer, PIECES)
    const bytes = 'libp2p_data_transfer_bytes_total'
    const echo = new Promise(resolve => stream.addEventListener('message', resolve))
    stream.send(new Uint8Array(1_000))
    await echo
    expect(await value(STREAMS, 'protocol', `outbound ${PIECES}`)).toBe(1)
    expect(await value(bytes, 'protocol', `${PIECES} sent`)).toBe(1_000)
    expect(await value(bytes, 'protocol', `${PIECES} received`)).toBeGreaterThan(0)
    stream.abort(new Error('enough'))
    expect(await value(STREAMS, 'protocol', `outbound ${PIECES}`)).toBe(0)

    const failed = 'libp2p_connection_manager_dial_errors_total'
    const before = (await value(failed, failed, 'outbound')) ?? 0
    await using door = await closedDoor()
    const { peer } = await createIdentity()
    await expect(client.connect(peer, { addresses: [`${door.address}/p2p/${peer}`] })).rejects.toThrow()
    expect(await value(failed, failed, 'outbound')).toBeGreaterThan(before)
  })
})
