/** `npm run simulate`: placement and routing over virtual time. Ends with 1 when a target is missed. */
import { parseArgs } from 'node:util'
import { mean, type Outcome } from './run.js'
import { routeTimes } from './route-times.js'
import {
  compare,
  type Comparison,
  livingSwarms,
  OPTIMUM_TARGET,
  percent,
  ROUTE_TARGET_MS,
  shortfalls,
  SMALL_HOURS,
  type SmallCase,
  smallCases
} from './suite.js'

const HELP = `npm run simulate -- [options]

Without --nodes: small swarms against the best possible, living swarms of 10 to 1000 nodes against Petals' rule, and
the time to find a route.

  --nodes N        only one swarm, of N nodes
  --layers N       of its model (32)
  --hours N        virtual hours (24)
  --stay N         mean hours that a node stays; 0: nobody leaves (8)
  --fits A-B       layers that fit a node's memory (3-16)
  --seed N         the first seed (1)
  --cases N        small swarms (40)
  --no-petals      without the rival, which takes long in large swarms
`

const { values } = parseArgs({
  options: {
    nodes: { type: 'string' },
    layers: { type: 'string', default: '32' },
    hours: { type: 'string', default: '24' },
    stay: { type: 'string', default: '8' },
    fits: { type: 'string', default: '3-16' },
    seed: { type: 'string', default: '1' },
    cases: { type: 'string', default: '40' },
    'no-petals': { type: 'boolean', default: false },
    help: { type: 'boolean', default: false }
  }
})

const seed = Number(values.seed)
const hours = Number(values.hours)
const withPetals = !values['no-petals']

function print(line: string): void {
  process.stdout.write(`${line}\n`)
}

function reportSmall(cases: readonly SmallCase[]): void {
  const ours = cases.map(({ flambeau }) => flambeau)
  const good = ours.filter(part => part >= OPTIMUM_TARGET).length
  print(
    `${cases.length} small swarms of 4 to 8 nodes and 8 layers that nobody joins or leaves, ${SMALL_HOURS} h, seeds from ${seed}:`
  )
  print(
    `  Flambeau reaches ${percent(mean(ours))} of the best possible on average, ${percent(Math.min(...ours))} at worst,`
  )
  print(`  ${percent(OPTIMUM_TARGET)} or more in ${good} of ${cases.length}`)
  print(`  Petals' rule reaches ${percent(mean(cases.map(({ petals }) => petals)))} on average`)
  const worse = cases.filter(({ flambeau, petals }) => flambeau < petals - 1e-9).length
  print(`  Flambeau is worse than Petals' rule in ${worse} of ${cases.length}\n`)
}

const COLUMNS = ['nodes', 'layers', 'rule', 'slowest layer', 'moves/h', 'hole', 'look', 'route', 'to best']

function reportRow(cells: readonly string[]): void {
  print(cells.map((cell, index) => (index === 2 ? cell.padEnd(10) : cell.padStart(13))).join(' '))
}

function reportOutcome({ scenario }: Comparison, outcome: Outcome): void {
  const { routes } = outcome
  reportRow([
    ...[String(scenario.nodes), String(scenario.layers), outcome.rule, `${outcome.throughput.toFixed(1)} tokens/s`],
    ...[outcome.movesPerHour.toFixed(2), percent(outcome.holeShare), `${outcome.lookMilliseconds.toFixed(2)} ms`],
    routes === undefined ? '-' : `${(routes.seconds * 1_000).toFixed(0)} ms/token`,
    routes === undefined ? '-' : `x ${routes.ratio.toFixed(3)}`
  ])
}

function report(comparison: Comparison): void {
  reportOutcome(comparison, comparison.flambeau)
  if (comparison.petals !== undefined) reportOutcome(comparison, comparison.petals)
}

function oneSwarm(nodes: number): Comparison[] {
  const [least = 3, most = 16] = values.fits.split('-').map(Number)
  const stayHours = Number(values.stay) || Infinity
  return [
    compare({ nodes, layers: Number(values.layers), hours, seed, stayHours, fits: { least, most } }, { withPetals })
  ]
}

function run(): void {
  if (values.help) {
    print(HELP)
    return
  }
  // First, in a process that has nothing to collect yet.
  const { median, p99 } = routeTimes(seed)
  const small = values.nodes === undefined ? [...smallCases(Number(values.cases), seed)] : []
  if (small.length > 0) reportSmall(small)
  print(`swarms whose nodes come and go, ${hours} virtual hours, seed ${seed}:`)
  reportRow(COLUMNS)
  const living: Comparison[] = []
  const scenarios = values.nodes === undefined ? livingSwarms(seed, hours) : []
  for (const scenario of scenarios) {
    const comparison = compare(scenario, { withPetals })
    report(comparison)
    living.push(comparison)
  }
  if (values.nodes !== undefined) {
    living.push(...oneSwarm(Number(values.nodes)))
    living.forEach(report)
  }
  print(`\na route among 256 peers and 80 layers: median ${median.toFixed(2)} ms of CPU, p99 ${p99.toFixed(2)} ms`)
  const missed = shortfalls(small, living)
  if (p99 > ROUTE_TARGET_MS) missed.push(`a route takes more than ${ROUTE_TARGET_MS} ms`)
  for (const miss of missed) print(`MISSED: ${miss}`)
  if (missed.length > 0) process.exitCode = 1
}

run()
