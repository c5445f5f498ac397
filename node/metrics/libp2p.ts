import type { CalculatedMetricOptions, ComponentLogger, Metrics } from '@libp2p/interface'
import { prometheusMetrics } from '@libp2p/prometheus-metrics'
import type { Registry } from 'prom-client'

type Values = Record<string, number>
type GroupOptions = Partial<CalculatedMetricOptions<Values>>

/** What the package counts besides: the first two are Node.js's own, and the file system's are none of libp2p's. */
const OTHERS = ['nodejs_memory_usage_bytes', 'nodejs_memory_total_bytes', 'nodejs_fs_usage_bytes']

/** Counts what libp2p counts of itself in a registry. The package knows one node in a process. */
export function libp2pMetrics(registry: Registry): (components: { logger: ComponentLogger }) => Metrics {
  const create = prometheusMetrics({ registry, collectDefaultMetrics: false })
  return components => {
    const metrics = create(components)
    for (const name of OTHERS) registry.removeSingleMetric(name)
    const register = metrics.registerMetricGroup.bind(metrics) as (name: string, options: GroupOptions) => never
    metrics.registerMetricGroup = (name: string, options: GroupOptions = {}): never => {
      const { calculate } = options
      return register(name, calculate === undefined ? options : { ...options, calculate: withZeros(calculate) })
    }
    return metrics
  }
}

/** The package leaves a series that is told no more at its last value: streams of a protocol that has none. */
function withZeros(calculate: () => Values | Promise<Values>): () => Promise<Values> {
  let zeros: Values = {}
  return async () => {
    const values = { ...zeros, ...(await calculate()) }
    zeros = Object.fromEntries(Object.keys(values).map(key => [key, 0]))
    return values
  }
}
