import { Counter, Gauge, Histogram, type Registry } from 'prom-client'
import { METRICS, type MetricFacts } from './table.js'

type Table = typeof METRICS
type LabelOf<Facts extends MetricFacts> = Facts['labels'][number]
type InstrumentOf<Facts extends MetricFacts> = Facts['type'] extends 'counter'
  ? Counter<LabelOf<Facts>>
  : Facts['type'] extends 'gauge'
    ? Gauge<LabelOf<Facts>>
    : Histogram<LabelOf<Facts>>

/** Each metric of the table, by its key there. */
export type Instruments = { readonly [Key in keyof Table]: InstrumentOf<Table[Key]> }

/** The table's metrics in a registry of the node's own: a process may have several nodes. */
export function instruments(registry: Registry): Instruments {
  const entries = Object.entries(METRICS).map(([key, facts]) => [key, instrument(facts, registry)])
  return Object.fromEntries(entries) as Instruments
}

function instrument({ type, name, help, labels, buckets }: MetricFacts, registry: Registry): object {
  const configuration = { name, help, labelNames: labels, registers: [registry] }
  switch (type) {
    case 'counter':
      return new Counter(configuration)
    case 'gauge':
      return new Gauge(configuration)
    case 'histogram':
      return new Histogram({ ...configuration, buckets: [...(buckets ?? [])] })
  }
}
