import { createServer, type AddressInfo } from 'node:net'
import { afterEach } from 'vitest'
import { createIdentity, type Identity } from '../../../node/swarm/identity.js'
import { Gate } from '../../../node/swarm/gate.js'
import { Hello, type HelloSettings } from '../../../node/swarm/hello.js'
import { libp2pLogger, type LogSink } from '../../../node/swarm/libp2p-logger.js'
import { createSwarmLibp2p, type MetricsOf, type SwarmLibp2p } from '../../../node/swarm/libp2p.js'
import { createMembership, type Membership } from '../../../node/swarm/membership.js'
import { SwarmNode, type SwarmSettings } from '../../../node/swarm/swarm.js'
import { Trust } from '../../../node/trust/trust.js'
import type { Announcement } from '../../../node/swarm/types.js'
import { SWARM } from './records.js'

export const silent: LogSink = { debug: () => undefined, trace: () => undefined, isLevelEnabled: () => false }

/** Prints what the swarm logs: for use while looking for a fault. */
export const loud: LogSink = {
  debug: (facts, message) => console.error(message, facts),
  trace: () => undefined,
  isLevelEnabled: level => level === 'debug'
}

const started: { stop: () => Promise<void> }[] = []

afterEach(async () => {
  await Promise.all(started.splice(0).map(node => node.stop()))
})

export interface NodeOptions extends Partial<SwarmSettings> {
  identity?: Identity
  logger?: LogSink
  now?: () => number
  trust?: Trust
  metrics?: MetricsOf
}

export interface Libp2pOptions {
  listen?: string[]
  hello?: Omit<HelloSettings, 'agent'>
}

/** A node on 127.0.0.1, any port, stopped after the test; not started. */
export async function createNode(
  membership: Membership,
  { identity, logger = silent, now = Date.now, trust = new Trust(), metrics, ...settings }: NodeOptions = {}
): Promise<SwarmNode> {
  const node = new SwarmNode(
    { identity: identity ?? (await createIdentity()), logger, now, trust, metrics },
    { membership, agent: 'flambeau/test', listen: ['/ip4/127.0.0.1/tcp/0'], mdns: false, upnp: false, ...settings }
  )
  started.push(node)
  return node
}

export async function startNode(membership: Membership, options: NodeOptions = {}): Promise<SwarmNode> {
  const node = await createNode(membership, options)
  await node.start()
  return node
}

/**
 * What a node has below everything that it is: libp2p alone, for what no node does. Stopped after the test.
 *
 * @param options.hello - whether it says and takes hellos, and how
 */
export async function startLibp2p({ listen = [], hello }: Libp2pOptions = {}): Promise<SwarmLibp2p> {
  const { privateKey } = await createIdentity()
  const libp2p = await createSwarmLibp2p({
    ...{ swarm: SWARM, key: undefined, privateKey, agent: 'test/1.0.0', listen, announce: [], mdns: false },
    ...{ upnp: false, relay: false, dhtClient: true, gater: {}, validators: {}, selectors: {}, datastore: undefined },
    ...{ metrics: undefined, guard: handler => handler, logger: libp2pLogger(silent) }
  })
  started.push({ stop: async () => libp2p.stop() })
  if (hello !== undefined) {
    const parts = { libp2p, gate: new Gate({ now: Date.now }), trust: new Trust(), logger: silent }
    await new Hello({ ...parts, onMember: () => undefined }, { agent: 'test/1.0.0', ...hello }).start()
  }
  await libp2p.start()
  return libp2p
}

/** `count` nodes that join through the first one. */
export async function startSwarm(count: number, membership = createMembership('test')): Promise<SwarmNode[]> {
  const first = await startNode(membership)
  const rest = Array.from({ length: count - 1 }, () => startNode(membership, { bootstrap: first.addresses() }))
  return [first, ...(await Promise.all(rest))]
}

export function announcement(name: string, changes: Partial<Announcement> = {}): Announcement {
  return {
    name,
    state: 'online',
    hardware: { backend: 'cpu', device: 'test', threads: 1, memoryBytes: 1e9 },
    models: [],
    ...changes
  }
}

/** Names of the nodes that `node` knows, sorted. */
export function namesKnownTo(node: SwarmNode): string[] {
  return node.directory
    .nodes()
    .map(({ record }) => record.name)
    .sort()
}

/** A port behind which nobody speaks. */
export async function closedDoor(): Promise<AsyncDisposable & { address: string }> {
  const server = createServer(socket => socket.destroy())
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return {
    address: `/ip4/127.0.0.1/tcp/${port}`,
    [Symbol.asyncDispose]: () => new Promise<void>(resolve => server.close(() => resolve()))
  }
}
