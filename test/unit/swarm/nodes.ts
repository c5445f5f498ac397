import { afterEach } from 'vitest'
import { createIdentity, type Identity } from '../../../node/swarm/identity.js'
import type { LogSink } from '../../../node/swarm/libp2p-logger.js'
import { createMembership, type Membership } from '../../../node/swarm/membership.js'
import { SwarmNode, type SwarmSettings } from '../../../node/swarm/swarm.js'
import { Trust } from '../../../node/trust/trust.js'
import type { Announcement } from '../../../node/swarm/types.js'

export const silent: LogSink = { debug: () => undefined, trace: () => undefined, isLevelEnabled: () => false }

/** Prints what the swarm logs: for use while looking for a fault. */
export const loud: LogSink = {
  debug: (facts, message) => console.error(message, facts),
  trace: () => undefined,
  isLevelEnabled: level => level === 'debug'
}

const started: SwarmNode[] = []

afterEach(async () => {
  await Promise.all(started.splice(0).map(node => node.stop()))
})

export interface NodeOptions extends Partial<SwarmSettings> {
  identity?: Identity
  logger?: LogSink
  now?: () => number
  trust?: Trust
}

/** A node on 127.0.0.1, any port, stopped after the test; not started. */
export async function createNode(
  membership: Membership,
  { identity, logger = silent, now = Date.now, trust = new Trust(), ...settings }: NodeOptions = {}
): Promise<SwarmNode> {
  const node = new SwarmNode(
    { identity: identity ?? (await createIdentity()), logger, now, trust },
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
