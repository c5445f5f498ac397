import type { Connection } from '@libp2p/interface'
import { RecordEnvelope } from '@libp2p/peer-record'
import { multiaddr } from '@multiformats/multiaddr'
import { describe, expect, it, vi } from 'vitest'
import { encodeHello } from '../../../protocol/hello.js'
import { HELLO_PROTOCOL, STATUS_PROTOCOL } from '../../../protocol/ids.js'
import { MAX_HELLO_FRAME_BYTES, MAX_STATUS_FRAME_BYTES } from '../../../protocol/limits.js'
import { encodeStatusRequest } from '../../../protocol/status-reply.js'
import { createMembership } from '../../../node/swarm/membership.js'
import { sealRecord } from '../../../node/swarm/record.js'
import type { SwarmNode } from '../../../node/swarm/swarm.js'
import { request } from '../../../node/swarm/wire.js'
import { createIdentity } from '../../../node/swarm/identity.js'
import { BAN_MS, HELLO_LIMITS, MAX_CONNECTIONS_OF_PEER } from '../../../node/trust/constants.js'
import { Trust } from '../../../node/trust/trust.js'
import { announcement, startLibp2p, startNode } from './nodes.js'

/** A node with a trust of its own, and a member that is connected to it. */
async function bench() {
  const membership = createMembership('test')
  const clock = { now: 0 }
  const trust = new Trust({ now: () => clock.now })
  const server = await startNode(membership, { trust })
  const peer = await startNode(membership, { bootstrap: server.addresses() })
  await peer.announce(announcement('peer'))
  await vi.waitFor(() => expect(viewOf(server, peer)).toMatchObject({ path: 'direct', banned: false }), {
    timeout: 10_000
  })
  return { membership, clock, trust, server, peer }
}

const viewOf = (node: SwarmNode, { peer }: SwarmNode) => node.directory.nodes().find(view => view.peer === peer)

async function ask(from: SwarmNode, to: SwarmNode, records: { record?: Uint8Array; known: Uint8Array[] }) {
  const stream = await from.openStream(to.peer, STATUS_PROTOCOL)
  const bytes = encodeStatusRequest({ record: records.record, known: records.known })
  return await request(stream, bytes, { maxFrameBytes: MAX_STATUS_FRAME_BYTES })
}

async function forged(membership: { id: string }, of: SwarmNode): Promise<Uint8Array> {
  const { privateKey } = await createIdentity()
  const { record } = viewOf(of, of) ?? {}
  if (record === undefined) throw new Error('the node has no record of its own')
  const sealed = RecordEnvelope.createFromProtobuf(await sealRecord({ ...record, swarm: membership.id }, privateKey))
  const envelope = sealed.marshal()
  envelope.set([(envelope.at(-1) ?? 0) ^ 1], envelope.length - 1)
  return envelope
}

describe('a banned peer', () => {
  it('loses its connections, and none are made in either direction until the ban is over', async () => {
    const { clock, trust, server, peer } = await bench()
    for (let times = 0; times < 3; times++) trust.refuse('WRONG_PIECE', peer.peer)
    await vi.waitFor(() => expect(viewOf(server, peer)).toMatchObject({ path: 'unconnected', banned: true }), {
      timeout: 10_000
    })
    await expect(server.connect(peer.peer)).rejects.toMatchObject({ code: 'BANNED' })
    await expect(peer.connect(server.peer)).rejects.toMatchObject({ name: 'SwarmError' })
    clock.now += BAN_MS
    await vi.waitFor(async () => server.connect(peer.peer), { timeout: 10_000 })
    await vi.waitFor(() => expect(viewOf(server, peer)).toMatchObject({ path: 'direct', banned: false }), {
      timeout: 10_000
    })
  })

  it('is whoever hands on records with forged signatures', async () => {
    const { membership, trust, server, peer } = await bench()
    for (let times = 1; times <= 3; times++) {
      await ask(peer, server, { known: [await forged(membership, peer)] }).catch(() => undefined)
      expect(trust.refused['FORGED_RECORD']).toBe(times)
    }
    expect(trust.bans().map(({ peer: banned }) => banned)).toEqual([peer.peer])
  })

  it("is whoever gives somebody else's record for its own", async () => {
    const { trust, server, peer } = await bench()
    const { record } = viewOf(server, peer) ?? {}
    if (record === undefined) throw new Error('the node does not know the peer')
    const { privateKey } = await createIdentity()
    for (let times = 0; times < 3; times++) {
      const envelope = await sealRecord(record, privateKey)
      await ask(peer, server, { record: envelope, known: [] }).catch(() => undefined)
    }
    expect(trust.isBanned(peer.peer)).toBe(true)
  })

  it('is nobody whose clock is wrong, or who passes on what has expired', async () => {
    const { trust, server, peer } = await bench()
    const { record } = viewOf(server, peer) ?? {}
    if (record === undefined) throw new Error('the node does not know the peer')
    const identity = await createIdentity()
    const late = { ...record, sequence: 1, expires: 2 }
    const early = { ...record, sequence: Date.now() + 3_600_000, expires: Date.now() + 3_600_001 }
    const envelopes = [await sealRecord(late, identity.privateKey), await sealRecord(early, identity.privateKey)]
    for (let times = 0; times < 20; times++) await ask(peer, server, { known: envelopes })
    expect([trust.refused, trust.bans()]).toEqual([{}, []])
  })
})

describe('the hello', () => {
  it('may not be said all the time', async () => {
    const { membership, trust, server, peer } = await bench()
    const connection = await peer.connect(server.peer)
    const hello = encodeHello({ swarm: membership.id, agent: 'flambeau/test' })
    const say = async (): Promise<unknown> => {
      const stream = await connection.newStream(HELLO_PROTOCOL)
      return await request(stream, hello, { maxFrameBytes: MAX_HELLO_FRAME_BYTES })
    }
    // One was said when they met, and the clock stands still.
    for (let times = 1; times < HELLO_LIMITS.burst; times++) await say()
    await expect(say()).rejects.toThrow()
    expect(trust.refused).toEqual({ TOO_MANY: 1 })
    expect(trust.isBanned(peer.peer)).toBe(false)
  })
})

describe('a peer with many connections', () => {
  it('is refused further ones, and nobody else is', async () => {
    const trust = new Trust()
    const membership = createMembership('test')
    const server = await startNode(membership, { trust })
    const address = multiaddr(server.addresses()[0] ?? '')
    const peer = await startLibp2p({ hello: { swarm: membership.id } })
    // Of one host a node takes only so many a second: then again.
    const connect = () => vi.waitFor(() => peer.dial(address, { force: true }), { timeout: 10_000, interval: 200 })
    const connections: Connection[] = []
    while (connections.length < MAX_CONNECTIONS_OF_PEER) connections.push(await connect())
    expect(trust.refused).toEqual({})
    await vi.waitFor(
      async () => {
        await peer.dial(address, { force: true }).catch(() => undefined)
        expect(trust.refused).toEqual({ TOO_MANY: 1 })
      },
      { timeout: 10_000, interval: 200 }
    )
    expect(connections.every(({ status }) => status === 'open')).toBe(true)
    const other = await startNode(membership, { bootstrap: server.addresses() })
    await other.connect(server.peer)
    await connections[0]?.close()
    await vi.waitFor(
      async () => {
        const connection = await peer.dial(address, { force: true })
        await connection.newStream(HELLO_PROTOCOL)
      },
      { timeout: 10_000, interval: 200 }
    )
  })
})
