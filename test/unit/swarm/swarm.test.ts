import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { multiaddr } from '@multiformats/multiaddr'
import { describe, expect, it, vi } from 'vitest'
import { kadProtocol, STATUS_PROTOCOL } from '../../../protocol/ids.js'
import { createIdentity, loadOrCreateIdentity } from '../../../node/swarm/identity.js'
import { libp2pLogger } from '../../../node/swarm/libp2p-logger.js'
import { createSwarmLibp2p, type SwarmLibp2p } from '../../../node/swarm/libp2p.js'
import { createMembership, type Membership } from '../../../node/swarm/membership.js'
import type { SwarmNode } from '../../../node/swarm/swarm.js'
import { answer, frames, request } from '../../../node/swarm/wire.js'
import { announcement, closedDoor, createNode, namesKnownTo, silent, startNode, startSwarm } from './nodes.js'

const SOON = { timeout: 8_000, interval: 20 }
const ECHO = '/flambeau/test-echo/1.0.0'
/** A request that every DHT node answers: a message of the type PING. */
const KAD_PING = Uint8Array.of(0x08, 5)
const LIMIT = { maxFrameBytes: 8 * 1024 * 1024 }

async function serveEcho(node: SwarmNode): Promise<void> {
  await node.handle(
    ECHO,
    answer(bytes => Promise.resolve(bytes), LIMIT)
  )
}

async function echo(from: SwarmNode, to: SwarmNode, bytes: Uint8Array, addresses: string[] = []): Promise<Uint8Array> {
  return request(await from.openStream(to.peer, ECHO, { addresses }), bytes, LIMIT)
}

const code = (value: string): Error => expect.objectContaining({ name: 'SwarmError', code: value }) as Error

describe('SwarmNode', () => {
  it('lets three nodes know each other through one bootstrap node', async () => {
    const nodes = await startSwarm(3)
    await Promise.all(nodes.map((node, index) => node.announce(announcement(`node ${index}`))))
    await vi.waitFor(() => {
      for (const node of nodes) expect(namesKnownTo(node)).toEqual(['node 0', 'node 1', 'node 2'])
    }, SOON)
    await vi.waitFor(() => {
      for (const node of nodes) {
        const views = node.directory.nodes()
        expect(views.map(({ path }) => path).sort()).toEqual(['direct', 'direct', 'self'])
        for (const { path, roundTrip } of views) expect(roundTrip).toBeGreaterThanOrEqual(path === 'self' ? 0 : 1e-6)
      }
    }, SOON)
  })

  it('brings a changed announcement to everybody and tells listeners', async () => {
    const nodes = await startSwarm(3)
    await Promise.all(nodes.map((node, index) => node.announce(announcement(`node ${index}`))))
    await vi.waitFor(() => nodes.forEach(node => expect(namesKnownTo(node)).toHaveLength(3)), SOON)
    let changes = 0
    nodes[2]?.directory.addEventListener('change', () => (changes += 1))
    await nodes[1]?.announce(announcement('renamed', { state: 'draining' }))
    await vi.waitFor(() => {
      for (const node of nodes) expect(namesKnownTo(node)).toContain('renamed')
    }, SOON)
    expect(changes).toBeGreaterThan(0)
  })

  it('publishes half round trips of others in its record', async () => {
    const [first, second] = await startSwarm(2)
    await vi.waitFor(async () => {
      await second?.directory.refresh()
      await first?.announce(announcement('first'))
      const record = second?.directory.nodes().find(({ peer }) => peer === first?.peer)?.record
      expect(record?.latencies).toEqual([{ peer: second?.peer, seconds: expect.any(Number) as number }])
    }, SOON)
  })

  it('carries streams between members, and refuses protocols that nobody serves', async () => {
    const membership = createMembership('test')
    const server = await startNode(membership)
    await serveEcho(server)
    const client = await startNode(membership)
    const bytes = new Uint8Array(3_000_000).fill(7)
    expect(Buffer.compare(await echo(client, server, bytes, server.addresses()), bytes)).toBe(0)
    await expect(client.openStream(server.peer, '/flambeau/nobody/1.0.0')).rejects.toThrow(code('UNSUPPORTED'))
  })

  it('lets both ends of one connection open streams', async () => {
    const membership = createMembership('test')
    const first = await startNode(membership)
    const second = await startNode(membership)
    await serveEcho(second)
    await second.connect(first.peer, { addresses: first.addresses() })
    expect(await echo(first, second, Uint8Array.of(1, 2))).toEqual(Uint8Array.of(1, 2))
  })

  it('tells a peer of another swarm why it is refused', async () => {
    const server = await startNode(createMembership('one'))
    const stranger = await startNode(createMembership('two'))
    const addresses = server.addresses()
    await expect(stranger.connect(server.peer, { addresses })).rejects.toThrow(code('WRONG_SWARM'))
    // Remembered for a while, without another dial.
    await expect(stranger.connect(server.peer, { addresses })).rejects.toThrow(code('WRONG_SWARM'))
    expect(server.directory.nodes().map(({ peer }) => peer)).toEqual([server.peer])
  })

  it('keeps peers without the key, or with another one, out of a closed swarm', async () => {
    const closed = createMembership('closed', { closed: true })
    const server = await startNode(closed)
    const addresses = server.addresses()
    const without = await startNode({ ...closed, key: undefined })
    await expect(without.connect(server.peer, { addresses })).rejects.toThrow(code('PEER_UNREACHABLE'))
    const other = await startNode({ ...closed, key: new Uint8Array(32).fill(9) })
    await expect(other.connect(server.peer, { addresses })).rejects.toThrow(code('PEER_UNREACHABLE'))
    const member = await startNode(closed)
    await expect(member.connect(server.peer, { addresses })).resolves.toMatchObject({ status: 'open' })
  })

  it('says that a peer cannot be reached', async () => {
    const membership = createMembership('test')
    const gone = await startNode(membership)
    const addresses = gone.addresses()
    await gone.stop()
    const node = await startNode(membership)
    await expect(node.connect(gone.peer, { addresses })).rejects.toThrow(code('PEER_UNREACHABLE'))
    await expect(node.connect('not a peer id')).rejects.toThrow(code('ADDRESS_INVALID'))
  })

  it('stops a wait when the caller no longer wants it', async () => {
    // A socket that accepts and says nothing: the handshake never ends.
    const server = createServer()
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
    const { port } = server.address() as AddressInfo
    const membership = createMembership('test')
    const node = await startNode(membership)
    const other = await createNode(membership)
    const controller = new AbortController()
    const dialling = node.connect(other.peer, {
      addresses: [`/ip4/127.0.0.1/tcp/${port}`],
      signal: controller.signal
    })
    controller.abort(new Error('no longer'))
    await expect(dialling).rejects.toThrow('no longer')
    server.close()
  })

  it('starts and stops alone without waiting for anybody', async () => {
    const started = performance.now()
    const node = await startNode(createMembership('lonely'), { bootstrap: [await unreachableAddress()] })
    await node.announce(announcement('lonely'))
    await vi.waitFor(() => expect(namesKnownTo(node)).toEqual(['lonely']), SOON)
    await node.directory.refresh()
    await Promise.all([node.stop(), node.stop()])
    await node.stop()
    expect(performance.now() - started).toBeLessThan(5_000)
    await expect(node.connect(node.peer)).rejects.toThrow(code('NOT_STARTED'))
  })

  it('leaves nothing behind when it is stopped in the middle of its start', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'flambeau-swarm-'))
    const membership = createMembership('test')
    const node = await createNode(membership, { datastoreFolder: folder })
    const starting = node.start()
    await node.stop()
    await starting
    expect(node.addresses()).toEqual([])
    // The folder has a lock.
    await (await startNode(membership, { datastoreFolder: folder })).stop()
    await rm(folder, { recursive: true })
  })

  it.each([
    ['ahead', 7],
    ['behind', -7]
  ])('says so when the clocks of others are minutes %s', async (_, minutes) => {
    const membership = createMembership('test')
    const warn = vi.fn()
    const other = await startNode(membership, { now: () => Date.now() + minutes * 60_000 })
    await other.announce(announcement('other'))
    const node = await startNode(membership, { bootstrap: other.addresses(), logger: { ...silent, warn } })
    await vi.waitFor(() => expect(node.clocks.ahead).toBeDefined(), SOON)
    expect(Math.round((node.clocks.ahead ?? 0) / 60_000)).toBe(minutes)
    expect(namesKnownTo(node)).not.toContain('other')
    expect(warn).toHaveBeenCalledOnce()
    expect(warn).toHaveBeenCalledWith(
      { peer: other.peer },
      expect.stringMatching(/clock .*7 minutes (ahead of|behind) /)
    )
  })

  it('finds a bootstrap node that starts later, and again after a restart of it', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'flambeau-swarm-'))
    const membership = createMembership('test')
    const identity = await loadOrCreateIdentity(join(folder, 'identity.key'))
    const address = await unreachableAddress(identity.peer)
    const listen = [address.split('/p2p/')[0] ?? '']
    const early = await startNode(membership, { bootstrap: [address] })
    await early.announce(announcement('early'))
    for (const name of ['late', 'again']) {
      const again = await loadOrCreateIdentity(join(folder, 'identity.key'))
      const late = await startNode(membership, { identity: again, listen })
      expect(late.peer).toBe(identity.peer)
      await late.announce(announcement(name))
      await vi.waitFor(() => {
        expect(namesKnownTo(early)).toEqual(['early', name].sort())
        expect(namesKnownTo(late)).toEqual(['early', name].sort())
      }, SOON)
      await late.stop()
    }
    await rm(folder, { recursive: true })
  })

  it('knows at once that a node is gone which has not said goodbye, and that it is back', async () => {
    const membership = createMembership('test')
    const nodes = await startSwarm(2, membership)
    const [first] = nodes
    const identity = await createIdentity()
    const options = { identity, bootstrap: first?.addresses() ?? [] }
    // One that has announced nothing says no goodbye.
    const third = await startNode(membership, options)
    const listen = third.addresses().map(address => address.split('/p2p/')[0] ?? '')
    const paths = (): unknown[] =>
      nodes.map(({ directory }) => directory.nodes().find(({ peer }) => peer === identity.peer)?.path)
    await vi.waitFor(() => expect(paths()).toEqual(['direct', 'direct']), SOON)
    await third.stop()
    await vi.waitFor(() => expect(paths()).toEqual(['gone', 'gone']), { timeout: 4_000, interval: 20 })
    await startNode(membership, { ...options, listen })
    await vi.waitFor(() => expect(paths()).toEqual(['direct', 'direct']), SOON)
  })

  it('does not take a node for gone that only it cannot reach, until nobody has heard of that one for long', async () => {
    const membership = createMembership('test')
    let later = 0
    const now = (): number => Date.now() + later
    const hub = await startNode(membership, { now })
    // Neither reaches the other, as behind two routers. What has announced nothing says no goodbye.
    await using door = await closedDoor()
    const hidden = { bootstrap: hub.addresses(), listen: [], announce: [door.address], now }
    const [node, other] = [await startNode(membership, hidden), await startNode(membership, hidden)]
    const path = (): string | undefined => node.directory.nodes().find(({ peer }) => peer === other.peer)?.path
    /** The hub hears of the other one, the node of it by the hub, and then the node tries to reach it. */
    const round = async (): Promise<string | undefined> => {
      later += 3_000
      await hub.directory.refresh()
      await node.directory.refresh()
      return path()
    }
    await vi.waitFor(() => expect(path()).toBe('gone'), SOON)
    const paths = [await round(), await round(), await round(), await round()]
    expect(paths).toEqual(['unconnected', 'unconnected', 'unconnected', 'unconnected'])
    await other.stop()
    await round()
    later += 40_000
    expect(path()).toBe('gone')
  })

  it('keeps what it knows of peers in its folder', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'flambeau-swarm-'))
    const membership = createMembership('test')
    for (let round = 0; round < 2; round++) {
      const node = await startNode(membership, { datastoreFolder: join(folder, 'datastore') })
      await node.stop()
    }
    await rm(folder, { recursive: true })
  })

  it('says which port is taken', async () => {
    const membership = createMembership('test')
    const first = await startNode(membership)
    const listen = first.addresses().map(address => address.split('/p2p/')[0] ?? '')
    await expect(startNode(membership, { listen })).rejects.toThrow(code('PORT_TAKEN'))
    await expect(startNode(membership, { listen: ['nonsense'] })).rejects.toThrow(code('ADDRESS_INVALID'))
    await expect(createNode(membership, { bootstrap: ['/ip4/127.0.0.1/tcp/1'] }).then(n => n.start())).rejects.toThrow(
      code('ADDRESS_INVALID')
    )
  })

  it('listens on both families at one port', async () => {
    const node = await startNode(createMembership('test'), { listen: ['/ip4/0.0.0.0/tcp/0'] })
    const port = /tcp\/(\d+)/.exec(node.addresses()[0] ?? '')?.[1] ?? ''
    await node.stop()
    const both = await startNode(createMembership('test'), {
      listen: [`/ip4/0.0.0.0/tcp/${port}`, `/ip6/::/tcp/${port}`]
    })
    expect(both.addresses().length).toBeGreaterThan(0)
  })

  it('lets a client use the swarm without being part of it', async () => {
    const membership = createMembership('test')
    const server = await startNode(membership)
    await serveEcho(server)
    await server.announce(announcement('server'))
    const client = await startNode(membership, { clientOnly: true, bootstrap: server.addresses() })
    await vi.waitFor(() => expect(namesKnownTo(client)).toEqual(['server']), SOON)
    expect(await echo(client, server, Uint8Array.of(5))).toEqual(Uint8Array.of(5))
    await server.directory.refresh()
    expect(namesKnownTo(server)).toEqual(['server'])
    expect(client.addresses()).toEqual([])
    await expect(server.openStream(client.peer, STATUS_PROTOCOL)).rejects.toThrow(code('UNSUPPORTED'))
  })

  it('reaches a node that listens nowhere through a relay, with as many bytes as it takes', async () => {
    const membership = createMembership('test')
    const relay = await startNode(membership, { relay: true })
    await relay.announce(announcement('relay'))
    const bootstrap = relay.addresses()
    const hidden = await startNode(membership, { listen: [], bootstrap })
    await hidden.announce(announcement('hidden'))
    await vi.waitFor(
      () => expect(hidden.addresses()).toEqual([expect.stringContaining('/p2p-circuit') as string]),
      SOON
    )
    const origin = await startNode(membership, { bootstrap, listen: [] })
    await vi.waitFor(() => {
      const view = origin.directory.nodes().find(({ peer }) => peer === hidden.peer)
      expect(view?.path).toBe('relayed')
    }, SOON)

    const size = 4 * 1024 * 1024
    await hidden.handle(ECHO, stream => {
      let bytes = 0
      const far = frames(stream, {
        ...LIMIT,
        onFrame: frame => (bytes += frame.byteLength),
        onEnd: () => {
          far.send(new TextEncoder().encode(String(bytes)))
          void far.close()
        }
      })
    })
    const replies: string[] = []
    const near = frames(await origin.openStream(hidden.peer, ECHO), {
      ...LIMIT,
      onFrame: frame => replies.push(new TextDecoder().decode(frame))
    })
    for (let sent = 0; sent < size; sent += 65_536) {
      if (!near.send(new Uint8Array(65_536).fill(3))) await near.drained()
    }
    await near.close()
    expect(await near.closed).toBeUndefined()
    expect(replies).toEqual([String(size)])
  })

  it('is reachable again after its relay was restarted', async () => {
    const membership = createMembership('test')
    const identity = await createIdentity()
    const address = await unreachableAddress(identity.peer)
    const options = { identity, relay: true, listen: [address.split('/p2p/')[0] ?? ''] }
    const relay = await startNode(membership, options)
    const hidden = await startNode(membership, { listen: [], bootstrap: [address] })
    await serveEcho(hidden)
    await vi.waitFor(() => expect(hidden.addresses()).toHaveLength(1), SOON)
    await relay.stop()
    await vi.waitFor(() => expect(hidden.addresses()).toEqual([]), SOON)
    await startNode(membership, options)
    await vi.waitFor(() => expect(hidden.addresses()).toHaveLength(1), SOON)
    const origin = await startNode(membership, { clientOnly: true, bootstrap: [address] })
    expect(await echo(origin, hidden, Uint8Array.of(4), hidden.addresses())).toEqual(Uint8Array.of(4))
  })

  it('resets streams of a peer that never said hello', async () => {
    const membership = createMembership('test')
    const server = await startNode(membership)
    let served = 0
    await server.handle(ECHO, () => {
      served += 1
    })
    const rude = await createRudePeer(membership)
    const connection = await rude.dial(multiaddr(server.addresses()[0] ?? ''))
    for (const protocol of [ECHO, kadProtocol(membership.id)]) {
      const replies: Uint8Array[] = []
      const stream = frames(await connection.newStream(protocol), { ...LIMIT, onFrame: frame => replies.push(frame) })
      stream.send(KAD_PING)
      await expect(stream.closed).resolves.toMatchObject({ name: 'StreamResetError' })
      expect(replies).toEqual([])
    }
    expect(served).toBe(0)
    await rude.stop()
  })
})

/** An address where nobody listens. */
async function unreachableAddress(peer?: string): Promise<string> {
  const node = await startNode(createMembership('gone'))
  const [address = ''] = node.addresses()
  await node.stop()
  return peer === undefined ? address : address.replace(/\/p2p\/.*/, `/p2p/${peer}`)
}

/** A libp2p node of the swarm that does not know about hello. */
async function createRudePeer({ id, key }: Membership): Promise<SwarmLibp2p> {
  const { privateKey } = await createIdentity()
  const libp2p = await createSwarmLibp2p({
    ...{ swarm: id, key, privateKey, agent: 'rude/1.0.0', listen: [], announce: [], mdns: false, upnp: false },
    ...{ relay: false, dhtClient: true, gater: {}, validators: {}, selectors: {}, datastore: undefined },
    metrics: undefined,
    guard: handler => handler,
    logger: libp2pLogger(silent)
  })
  await libp2p.start()
  return libp2p
}
