import type { HeldModel, NodeView } from '../../../node/swarm/types.js'
import { LAYERS, MANIFEST } from './toy-mesh.js'

/** A model as a node says it holds it: the toy model, nothing of it, unless said otherwise. */
export function held(changes: Partial<HeldModel> = {}): HeldModel {
  const toy = { manifest: MANIFEST, name: 'Toy', architecture: 'toy', layers: LAYERS }
  return { ...toy, cuts: [1, 2, 3, 4, 5], pieces: [], shards: [], ...changes }
}

/** A shard that is always as fast as it is now, unless said otherwise. */
export function shard(start: number, end: number, changes: Partial<HeldModel['shards'][number]> = {}) {
  const { secondsPerLayer = 0.001 } = changes
  const speeds = { secondsPerLayer, steadySecondsPerLayer: secondsPerLayer }
  return { start, end, ...speeds, freeSessions: 4, freeContext: 512, queue: 0, ...changes }
}

/** A node that is connected and online, unless said otherwise. */
export function nodeView(
  peer: string,
  models: HeldModel[],
  { path = 'direct', ...record }: Partial<NodeView['record']> & Pick<Partial<NodeView>, 'path'> = {}
): NodeView {
  return {
    peer,
    path,
    roundTrip: path === 'self' ? 0 : 0.02,
    seen: 0,
    record: {
      swarm: '00'.repeat(16),
      sequence: 1,
      expires: 1,
      name: `node of ${peer}`,
      agent: 'flambeau/0',
      state: 'online',
      addresses: [`/ip4/192.0.2.1/tcp/1/p2p/${peer}`],
      hardware: { backend: 'cpu', device: '', threads: 1, memoryBytes: 0 },
      models,
      latencies: [],
      relay: false,
      ...record
    }
  }
}
