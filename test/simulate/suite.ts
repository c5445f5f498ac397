/** What the simulator runs when nothing else is asked for, and what must come out of it. */
import { slowest, usableRates } from '../../node/scheduler/throughput.js'
import { bestThroughput } from './optimum.js'
import { Random } from './random.js'
import { type Outcome, simulate } from './run.js'
import { modelOf, type Scenario, someNode } from './scenario.js'

/** Of the best possible, so much must be reached wherever that can be computed. */
export const OPTIMUM_TARGET = 0.95
/** Milliseconds in which a route must be found among 256 peers and 80 layers. */
export const ROUTE_TARGET_MS = 10

export interface SmallCase {
  seed: number
  nodes: number
  /** Parts of the best possible throughput of the slowest layer. */
  flambeau: number
  petals: number
  /** How many times the nodes' memory holds the model. */
  copies: number
}

const SMALL_LAYERS = 8
/** Nobody comes or goes: as long as moves may take to pay, and to make them. */
export const SMALL_HOURS = 72

/** Small swarms that nobody joins or leaves, against the best assignment by exhaustive search. */
export function* smallCases(count: number, firstSeed: number): Generator<SmallCase> {
  for (let seed = firstSeed, found = 0; found < count; seed++) {
    const random = new Random(seed)
    const nodes = random.integer(4, 8)
    const fits = { least: 1, most: random.integer(3, 6) }
    const scenario = { nodes, layers: SMALL_LAYERS, hours: SMALL_HOURS, seed, stayHours: Infinity, fits }
    const holders = Array.from({ length: nodes }, (_, index) => someNode(index, scenario))
    const copies = holders.reduce((sum, { memoryBytes }) => sum + memoryBytes, 0) / SMALL_LAYERS
    if (copies < 2) continue // with less nobody can move without leaving a hole
    found++
    const size = modelOf(scenario)
    const best = bestThroughput(size, holders)
    const [ours, theirs] = [simulate('flambeau', scenario), simulate('petals', scenario)]
    const flambeau = slowest(usableRates(size.layers, ours.served)) / best
    yield { seed, nodes, copies, flambeau, petals: theirs.lastThroughput / best }
  }
}

/** Swarms whose nodes come and go. */
export function livingSwarms(seed: number, hours: number): Scenario[] {
  return [
    { nodes: 10, layers: 8, hours, seed, stayHours: 8, fits: { least: 2, most: 6 } },
    { nodes: 32, layers: 32, hours, seed, stayHours: 8, fits: { least: 3, most: 16 } },
    { nodes: 100, layers: 32, hours, seed, stayHours: 8, fits: { least: 3, most: 16 } },
    { nodes: 1_000, layers: 80, hours, seed, stayHours: 8, fits: { least: 4, most: 40 } }
  ]
}

export interface Comparison {
  scenario: Scenario
  flambeau: Outcome
  petals: Outcome | undefined
}

export function compare(scenario: Scenario, { withPetals }: { withPetals: boolean }): Comparison {
  return {
    scenario,
    flambeau: simulate('flambeau', scenario),
    petals: withPetals ? simulate('petals', scenario) : undefined
  }
}

/** What misses its target, in words. */
export function shortfalls(small: readonly SmallCase[], living: readonly Comparison[]): string[] {
  const missed: string[] = []
  for (const { seed, flambeau, petals } of small) {
    if (flambeau < OPTIMUM_TARGET) missed.push(`${percent(flambeau)} of the optimum with seed ${seed}`)
    if (flambeau < petals - 1e-9) missed.push(`worse than by Petals' rule with seed ${seed}`)
  }
  for (const { scenario, flambeau, petals } of living) {
    if (petals === undefined) continue
    const swarm = `with ${scenario.nodes} nodes`
    if (flambeau.throughput < petals.throughput)
      missed.push(`${swarm} the slowest layer is slower than by Petals' rule`)
    if (flambeau.movesPerHour >= petals.movesPerHour && flambeau.movesPerHour > 0)
      missed.push(`${swarm} there are no fewer moves than by Petals' rule`)
    if (flambeau.holeShare > petals.holeShare)
      missed.push(`${swarm} there is more time with a hole than by Petals' rule`)
  }
  return missed
}

export function percent(part: number): string {
  return `${(100 * part).toFixed(1)} %`
}
