/** Prometheus' text format, version 0.0.4, read strictly: whatever a scraper could take amiss is an error here. */

export interface Sample {
  name: string
  labels: Record<string, string>
  value: number
}

export interface Family {
  name: string
  type: string
  help: string
  samples: Sample[]
}

const SAMPLE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$/
const LABEL = /([a-zA-Z_]\w*)="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)/y
const NUMBER = /^(?:[+-]?\d+(?:\.\d+)?(?:e[+-]?\d+)?|[+-]Inf|NaN)$/i

/** By name. @throws Error with the line that is wrong */
export function parseExposition(text: string): Map<string, Family> {
  if (!text.endsWith('\n')) throw new Error('the last line has no end')
  const families = new Map<string, Family>()
  let family: Family | undefined
  for (const line of text.split('\n')) {
    if (line === '') continue
    if (line.startsWith('#')) family = comment(line, family, families)
    else if (family === undefined) throw new Error(`a sample without a family: ${line}`)
    else family.samples.push(sample(line, family))
  }
  for (const one of families.values()) check(one)
  return families
}

/** What one series of a family says; undefined where there is none. `labels`: all that it has. */
export function valueOf(
  families: ReadonlyMap<string, Family>,
  name: string,
  labels: Record<string, string> = {}
): number | undefined {
  const family = families.get(name.replace(/_(sum|count|bucket)$/, '')) ?? families.get(name)
  return family?.samples.find(one => one.name === name && keyOf(one.labels) === keyOf(labels))?.value
}

function comment(line: string, current: Family | undefined, families: Map<string, Family>): Family {
  const [, word, name = '', rest = ''] = /^# (HELP|TYPE) (\S+) (.*)$/.exec(line) ?? []
  if (word === 'HELP') {
    if (families.has(name)) throw new Error(`${name} comes twice`)
    const family = { name, type: '', help: rest, samples: [] }
    families.set(name, family)
    return family
  }
  const fits = current?.name === name && current.type === '' && current.samples.length === 0
  if (word !== 'TYPE' || current === undefined || !fits) throw new Error(`not the type of what comes before: ${line}`)
  if (!['counter', 'gauge', 'histogram'].includes(rest)) throw new Error(`no such type: ${line}`)
  current.type = rest
  return current
}

function sample(line: string, { name: family, type }: Family): Sample {
  const [, name = '', labels = '', value = ''] = SAMPLE.exec(line) ?? []
  const names = type === 'histogram' ? ['_bucket', '_sum', '_count'].map(suffix => `${family}${suffix}`) : [family]
  if (!names.includes(name)) throw new Error(`not a sample of the ${type} ${family}: ${line}`)
  if (!NUMBER.test(value)) throw new Error(`no number: ${line}`)
  return { name, labels: labelsOf(labels, line), value: Number(value.replace('Inf', 'Infinity')) }
}

function labelsOf(text: string, line: string): Record<string, string> {
  const labels: Record<string, string> = {}
  LABEL.lastIndex = 0
  for (let at = 0; at < text.length; at = LABEL.lastIndex) {
    const [, name = '', value = ''] = LABEL.exec(text) ?? []
    if (name === '' || name in labels) throw new Error(`labels that are none, or come twice: ${line}`)
    labels[name] = value.replaceAll(/\\(.)/g, (_, escaped: string) => (escaped === 'n' ? '\n' : escaped))
  }
  return labels
}

/** One series each; counters do not go below zero; buckets rise and end with the count. */
function check({ name, type, samples }: Family): void {
  if (type === '') throw new Error(`${name} has no type`)
  const keys = samples.map(one => `${one.name} ${keyOf(one.labels)}`)
  if (new Set(keys).size !== keys.length) throw new Error(`a series of ${name} comes twice`)
  if (type !== 'gauge' && samples.some(({ value }) => !(value >= 0))) throw new Error(`${name} is below zero`)
  if (type !== 'histogram') return
  const counts = samples.filter(one => one.name === `${name}_count`)
  for (const { labels, value } of counts) {
    const buckets = samples.filter(one => {
      const { le, ...others } = one.labels
      return le !== undefined && keyOf(others) === keyOf(labels)
    })
    const values = buckets.map(one => one.value)
    const rise = values.every((one, i) => i === 0 || one >= (values[i - 1] ?? 0))
    const last = buckets.at(-1)
    if (!rise || last?.labels['le'] !== '+Inf' || last.value !== value) throw new Error(`buckets of ${name} are wrong`)
  }
}

function keyOf(labels: Record<string, string>): string {
  return JSON.stringify(Object.entries(labels).sort())
}
