import { Registry } from 'prom-client'
import type { StatusView } from '../../../node/control/contract.js'
import { NodeMetrics } from '../../../node/metrics/metrics.js'
import type { NodeView } from '../../../node/swarm/types.js'
import { type Family, parseExposition, valueOf } from '../../support/exposition.js'
import { held, nodeView } from '../pipeline/swarm-views.js'

export const STATUS: StatusView = {
  ...{ version: '1.2.3', pid: 1, uptimeSeconds: 1, home: '/home', name: 'me', peer: 'me', addresses: [] },
  ...{
    swarm: { name: 'ours', id: '00', closed: false },
    gateway: undefined,
    page: undefined,
    state: 'online',
    peers: 0,
    tasks: []
  },
  availability: { state: 'online', pauses: [], overruled: [] },
  engine: { state: 'ready', backend: 'cpu', devices: [], restarts: 0, version: 'toy' },
  shards: [],
  ...{ sessions: { served: 0, origin: 0 }, refused: {}, banned: 0, memoryBytes: 9, usedBytes: 5 }
}

/** A node's metrics with a clock and a swarm in the test's hands. */
export class MetricsBench {
  readonly clock = { now: 0 }
  readonly nodes: NodeView[] = [nodeView('a', [held()])]
  readonly registry = new Registry()
  readonly metrics = new NodeMetrics({
    registry: this.registry,
    directory: { nodes: () => this.nodes },
    now: () => this.clock.now
  })

  async families(status: Partial<StatusView> = {}): Promise<Map<string, Family>> {
    return parseExposition(await this.metrics.text({ ...STATUS, ...status }))
  }

  /** What one series says; undefined where there is none. */
  async value(name: string, labels: Record<string, string> = {}): Promise<number | undefined> {
    return valueOf(await this.families(), name, labels)
  }
}
