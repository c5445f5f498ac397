import { createIdentity, type Identity } from '../../../node/swarm/identity.js'
import { sealRecord } from '../../../node/swarm/record.js'
import type { NodeRecord } from '../../../protocol/node-record.js'

export const SWARM = '0123456789abcdef0123456789abcdef'
/** The time of the tests' clocks. */
export const NOW = Date.UTC(2026, 0, 1)

export function nodeRecord(changes: Partial<NodeRecord> = {}): NodeRecord {
  return {
    swarm: SWARM,
    sequence: NOW,
    expires: NOW + 180_000,
    name: 'node',
    agent: 'flambeau/test',
    state: 'online',
    addresses: ['/ip4/192.0.2.1/tcp/27470'],
    hardware: { backend: 'cpu', device: 'test', threads: 2, memoryBytes: 1e9 },
    models: [],
    latencies: [],
    relay: false,
    ...changes
  }
}

export async function envelope(changes: Partial<NodeRecord> = {}, identity?: Identity): Promise<Uint8Array> {
  return sealRecord(nodeRecord(changes), (identity ?? (await createIdentity())).privateKey)
}
