import { register } from 'prom-client'
import { describe, expect, it } from 'vitest'
import type { ShardView } from '../../../node/control/contract.js'
import { MAX_MODEL_NAMES } from '../../../node/metrics/model-names.js'
import { nodeView } from '../pipeline/swarm-views.js'
import { valueOf } from '../../support/exposition.js'
import { MetricsBench, STATUS } from './bench.js'

const SHARD: ShardView = {
  ...{ model: 'Toy', manifest: '00', start: 0, end: 4, secondsPerLayer: 0.002, sessions: 1 },
  ...{ context: 100, freeContext: 60 }
}

describe('a scrape', () => {
  it('reads what the node says of itself', async () => {
    const bench = new MetricsBench()
    const families = await bench.families({
      shards: [SHARD],
      sessions: { served: 3, origin: 1 },
      refused: { BUSY: 4, BANNED: 2 },
      banned: 1,
      engine: { ...STATUS.engine, restarts: 2 }
    })
    const value = (name: string, labels = {}): number | undefined => valueOf(families, name, labels)
    const shard = { model: 'Toy', layers: '0-4' }
    expect(value('flambeau_info', { version: '1.2.3', backend: 'cpu' })).toBe(1)
    expect(value('flambeau_state', { state: 'online' })).toBe(1)
    expect(value('flambeau_state', { state: 'paused' })).toBe(0)
    expect(value('flambeau_kv_positions', shard)).toBe(100)
    expect(value('flambeau_kv_positions_used', shard)).toBe(40)
    expect(value('flambeau_layer_token_seconds', shard)).toBe(0.002)
    expect(value('flambeau_sessions')).toBe(3)
    expect(value('flambeau_memory_given_bytes')).toBe(9)
    expect(value('flambeau_memory_used_bytes')).toBe(5)
    expect(value('flambeau_engine_ready')).toBe(1)
    expect(value('flambeau_engine_restarts_total')).toBe(2)
    expect(value('flambeau_refusals_total', { reason: 'BUSY' })).toBe(4)
    expect(value('flambeau_refusals_total', { reason: 'BANNED' })).toBeUndefined()
    expect(value('flambeau_bans_total')).toBe(2)
    expect(value('flambeau_banned_peers')).toBe(1)
  })

  it('does not add up what it has read before, nor keep what is gone', async () => {
    const bench = new MetricsBench()
    const refused = { BUSY: 4, BANNED: 2 }
    await bench.families({ shards: [SHARD], refused, engine: { ...STATUS.engine, restarts: 2 } })
    const stopped = { ...STATUS.engine, state: 'stopped' as const, backend: undefined, restarts: 2 }
    const families = await bench.families({ refused, engine: stopped, state: 'paused' })
    expect(families.get('flambeau_kv_positions')?.samples).toEqual([])
    expect(families.get('flambeau_info')?.samples.map(({ labels }) => labels['backend'])).toEqual([''])
    expect(valueOf(families, 'flambeau_refusals_total', { reason: 'BUSY' })).toBe(4)
    expect(valueOf(families, 'flambeau_bans_total')).toBe(2)
    expect(valueOf(families, 'flambeau_engine_restarts_total')).toBe(2)
    expect(valueOf(families, 'flambeau_engine_ready')).toBe(0)
    expect(valueOf(families, 'flambeau_state', { state: 'online' })).toBe(0)
  })

  it('counts peers by path, without this node', async () => {
    const bench = new MetricsBench()
    const paths = ['self', 'direct', 'direct', 'unconnected', 'gone'] as const
    bench.nodes.splice(0, 1, ...paths.map((path, i) => nodeView(`peer${i}`, [], { path })))
    const families = await bench.families()
    const of = (path: string): number | undefined => valueOf(families, 'flambeau_peers', { path })
    expect([of('direct'), of('relayed'), of('unconnected'), of('self')]).toEqual([2, 0, 2, undefined])
    expect(JSON.stringify([...families])).not.toContain('peer1')
  })

  it('reads the bytes of streams where they are counted', async () => {
    const bench = new MetricsBench()
    const { stage, relay } = bench.metrics.traffic
    stage.here.sent += 7
    relay.peer.received += 9
    const bytes = async (protocol: string, opened: string, direction: string): Promise<number | undefined> =>
      bench.value('flambeau_stream_bytes_total', { protocol, opened, direction })
    expect(await bytes('stage', 'here', 'sent')).toBe(7)
    expect(await bytes('relay', 'peer', 'received')).toBe(9)
    expect(await bytes('relay', 'here', 'received')).toBe(0)
  })

  it('has steps by who asked for them', async () => {
    const bench = new MetricsBench()
    bench.metrics.step({ rows: 1, queued: 2, computed: 30, own: false })
    bench.metrics.step({ rows: 40, queued: 0, computed: 300, own: true })
    expect(await bench.value('flambeau_step_compute_seconds_sum', { origin: 'peer' })).toBeCloseTo(0.03)
    expect(await bench.value('flambeau_step_queue_seconds_sum', { origin: 'peer' })).toBeCloseTo(0.002)
    expect(await bench.value('flambeau_step_rows_bucket', { origin: 'self', le: '32' })).toBe(0)
    expect(await bench.value('flambeau_step_rows_bucket', { origin: 'self', le: '64' })).toBe(1)
  })

  it('has decodes once, by how much was computed together', async () => {
    const bench = new MetricsBench()
    const step = { queued: 0, computed: 1, own: false }
    bench.metrics.step({ ...step, rows: 1, decode: { steps: 3, rows: 12 } })
    for (const rows of [1, 10]) bench.metrics.step({ ...step, rows })
    bench.metrics.step({ ...step, rows: 1, decode: { steps: 1, rows: 1 } })
    expect(await bench.value('flambeau_decode_steps_count')).toBe(2)
    expect(await bench.value('flambeau_decode_steps_sum')).toBe(4)
    expect(await bench.value('flambeau_decode_steps_bucket', { le: '2' })).toBe(1)
    expect(await bench.value('flambeau_decode_rows_sum')).toBe(
      await bench.value('flambeau_step_rows_sum', { origin: 'peer' })
    )
  })

  it('has so many models at most, and calls the rest other', async () => {
    const bench = new MetricsBench()
    const shards = Array.from({ length: MAX_MODEL_NAMES + 3 }, (_, i) => ({ ...SHARD, model: `model "${i}"\n\\` }))
    for (const status of [{ shards }, { shards }]) {
      const { samples = [] } = (await bench.families(status)).get('flambeau_kv_positions') ?? {}
      expect(samples).toHaveLength(MAX_MODEL_NAMES + 1)
      expect(samples[0]?.labels['model']).toBe('model "0"\n\\')
      expect(samples.find(({ labels }) => labels['model'] === 'other')?.value).toBe(300)
    }
  })

  it('is of one node, not of the process', async () => {
    const [one, two] = [new MetricsBench(), new MetricsBench()]
    one.metrics.step({ rows: 1, queued: 0, computed: 1, own: true })
    expect(await one.value('flambeau_step_rows_count', { origin: 'self' })).toBe(1)
    expect(await two.value('flambeau_step_rows_count', { origin: 'self' })).toBeUndefined()
    expect(register.getMetricsAsArray()).toEqual([])
  })
})
