import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { MetricObject } from 'prom-client'
import { beforeAll, describe, expect, it } from 'vitest'
import { libp2pMetrics } from '../../../node/metrics/libp2p.js'
import { MAX_MODEL_NAMES } from '../../../node/metrics/model-names.js'
import { METRICS, type MetricFacts } from '../../../node/metrics/table.js'
import { createMembership } from '../../../node/swarm/membership.js'
import type { Family } from '../../support/exposition.js'
import { PROJECT_ROOT } from '../../support/models.js'
import { MetricsBench } from '../metrics/bench.js'
import { startNode } from '../swarm/nodes.js'
import { page, prose, tableRows } from './markdown.js'

const docs = page('docs/metrics.md')
const metrics: readonly MetricFacts[] = Object.values(METRICS)

/** What Node.js does not know on other systems. */
const ONLY_LINUX = ['process_virtual_memory_bytes', 'process_heap_bytes', 'process_open_fds', 'process_max_fds']

let families: Map<string, Family>
/** Names and types, and the labels of all metrics, by name. */
let libp2p: { name: string; type: string }[]
let labelsOf: Map<string, readonly string[]>

beforeAll(async () => {
  const bench = new MetricsBench()
  const swarm = await startNode(createMembership('test'), { relay: true, metrics: libp2pMetrics(bench.registry) })
  families = await bench.families()
  await swarm.stop()
  libp2p = [...families.values()].filter(({ name }) => name.startsWith('libp2p_'))
  // Of those that have no series yet too.
  const all = bench.registry.getMetricsAsArray() as (MetricObject & { name: string; labelNames: readonly string[] })[]
  labelsOf = new Map(all.map(({ name, labelNames }) => [name, labelNames]))
})

describe('docs/metrics.md', () => {
  it('lists every metric of a node with its type, labels, unit and meaning', () => {
    const [, ...rows] = tableRows(docs, "The node's metrics")
    const expected = metrics.map(({ name, type, labels, unit, help }) => [
      ...[`\`${name}\``, type, labels.map(label => `\`${label}\``).join(', ') || '-', unit, help]
    ])
    expect(rows).toEqual(expected)
  })

  it('is what a node has in its registry, with the same words', () => {
    const own = [...families.values()].filter(({ name }) => name.startsWith('flambeau_'))
    expect(own.map(({ name, type, help }) => [name, type, help])).toEqual(
      metrics.map(({ name, type, help }) => [name, type, help])
    )
  })

  it("lists Node.js's own", () => {
    const [, ...rows] = tableRows(docs, "Node.js's own")
    const listed = rows
      .map(([name = '', type]) => [name.replaceAll('`', ''), type])
      .filter(([name = '']) => process.platform === 'linux' || !ONLY_LINUX.includes(name))
    const others = [...families.values()].filter(({ name }) => !/^(?:flambeau|libp2p)_/.test(name))
    expect(listed).toEqual(others.map(({ name, type }) => [name, type]))
  })

  it("lists libp2p's own with their types and labels", () => {
    const [, ...rows] = tableRows(docs, "libp2p's own")
    const listed = rows.map(([name = '', type = '', label = '']) => [name.replaceAll('`', ''), type, label])
    const expected = libp2p.map(({ name, type }) => {
      const [label] = labelsOf.get(name) ?? []
      return [name, type, label === undefined ? '-' : label === name ? 'the same' : `\`${label}\``]
    })
    expect(listed.sort()).toEqual(expected.sort())
  })

  it('says how many models it tells apart', () => {
    expect(prose(docs)).toContain(`the first ${MAX_MODEL_NAMES} of them`)
  })

  it('asks in its alerts for what there is', () => {
    const asked = [...docs.text.matchAll(/\bflambeau_\w+/g)].map(([name]) => name)
    expect(asked.filter(name => !families.has(name))).toEqual([])
  })
})

interface Dashboard {
  templating: { list: { name: string; type: string }[] }
  panels: Panel[]
}

interface Panel {
  id: number
  type: string
  title: string
  gridPos: { x: number; y: number; w: number; h: number }
  datasource?: { type: string; uid: string }
  targets?: { expr: string; datasource: { uid: string } }[]
}

describe('docs/grafana-dashboard.json', () => {
  const text = readFileSync(join(PROJECT_ROOT, 'docs', 'grafana-dashboard.json'), 'utf8')
  const dashboard = JSON.parse(text) as Dashboard
  const panels = dashboard.panels.filter(({ type }) => type !== 'row')
  const expressions = panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr))

  /** Names in an expression, and the labels that it sorts by or picks. */
  const named = (expr: string): string[] =>
    [...expr.matchAll(/\b(?:flambeau|libp2p|nodejs|process)_\w+/g)].map(([name]) => name)
  const familyOf = (name: string): Family | undefined => {
    const histogram = families.get(name.replace(/_(bucket|sum|count)$/, ''))
    return histogram?.type === 'histogram' && histogram.name !== name ? histogram : families.get(name)
  }

  it('has one variable, the data source, and all panels use it', () => {
    expect(dashboard.templating.list).toMatchObject([{ name: 'datasource', type: 'datasource' }])
    const sources = panels.flatMap(({ datasource, targets = [] }) => [
      ...[datasource?.uid, ...targets.map(target => target.datasource.uid)]
    ])
    expect(new Set(sources)).toEqual(new Set(['${datasource}']))
  })

  it('has panels with ids and places of their own', () => {
    expect(new Set(dashboard.panels.map(({ id }) => id)).size).toBe(dashboard.panels.length)
    const cells = dashboard.panels.flatMap(({ gridPos: { x, y, w, h } }) =>
      Array.from({ length: w * h }, (_, i) => `${x + (i % w)} ${y + Math.floor(i / w)}`)
    )
    expect(new Set(cells).size).toBe(cells.length)
    expect(dashboard.panels.filter(({ gridPos: { x, w } }) => x + w > 24)).toEqual([])
  })

  it.each(expressions)('asks for metrics that exist: %s', expr => {
    const names = named(expr)
    expect(names).not.toEqual([])
    expect(names.filter(name => familyOf(name) === undefined)).toEqual([])
    // Buckets only inside of a quantile, rates only of what counts up.
    for (const name of names) expect(familyOf(name)?.type === 'histogram').toBe(/_(bucket|sum|count)$/.test(name))
    const counted = names.filter(name => familyOf(name)?.type !== 'gauge')
    expect(counted.length > 0).toBe(/\b(rate|increase)\(/.test(expr))
  })

  it.each(expressions)('sorts by labels that these have: %s', expr => {
    const known = new Set(['instance', 'le'])
    for (const label of named(expr).flatMap(name => labelsOf.get(familyOf(name)?.name ?? '') ?? [])) known.add(label)
    const by = [...expr.matchAll(/by \(([^)]*)\)/g)].flatMap(([, list = '']) => list.split(', '))
    const picked = [...expr.matchAll(/(\w+)!?="/g)].map(([, label = '']) => label)
    expect([...by, ...picked].filter(label => !known.has(label))).toEqual([])
  })

  it('shows every metric that the node has of its own, but for its facts', () => {
    const shown = new Set(expressions.flatMap(named).map(name => familyOf(name)?.name))
    expect(metrics.map(({ name }) => name).filter(name => !shown.has(name))).toEqual(['flambeau_info'])
  })
})
