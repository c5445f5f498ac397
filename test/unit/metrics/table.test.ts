import { describe, expect, it } from 'vitest'
import { METRICS, type MetricFacts } from '../../../node/metrics/table.js'

const metrics: readonly MetricFacts[] = Object.values(METRICS)
const BASE_UNITS = ['seconds', 'bytes']

describe('the table of metrics', () => {
  it.each(metrics.map(metric => [metric.name, metric] as const))('%s is named as Prometheus wants it', (_, metric) => {
    const { name, type, unit, labels, help, buckets } = metric
    expect(name).toMatch(/^flambeau(_[a-z]+)+$/)
    expect(name.endsWith('_total')).toBe(type === 'counter')
    if (BASE_UNITS.includes(unit)) expect(name.replace(/_total$/, '').endsWith(`_${unit}`)).toBe(true)
    expect(name).not.toMatch(/_(sum|count|bucket|info_total|ms|milliseconds|mib)$/)
    expect(labels.filter(label => !/^[a-z]+$/.test(label) || label === 'le')).toEqual([])
    expect(help).toMatch(/\.$/)
    expect(buckets !== undefined).toBe(type === 'histogram')
    expect(buckets ?? []).toEqual([...new Set(buckets)].sort((a, b) => a - b))
  })

  it('has each name once, also without the suffixes that scrapers leave out', () => {
    const names = metrics.map(({ name }) => name.replace(/_total$/, ''))
    expect(new Set(names).size).toBe(names.length)
  })
})
