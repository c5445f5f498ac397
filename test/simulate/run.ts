import type { PlacedShard } from '../../node/scheduler/types.js'
import { Random } from './random.js'
import { routeQuality, type RouteQuality } from './routes.js'
import type { Rule } from './rules.js'
import { flambeau, petals } from './rules.js'
import { ARRIVAL_SECONDS, modelOf, type Scenario } from './scenario.js'
import { SimulatedSwarm } from './swarm.js'

export interface Outcome {
  rule: string
  /** Mean over time of the tokens per second of the slowest layer. */
  throughput: number
  /** At the end. */
  lastThroughput: number
  movesPerHour: number
  /** Parts of the time in which some layers could not be had. */
  holeShare: number
  /** Milliseconds of this machine for one look. */
  lookMilliseconds: number
  /** Looks; only those that saw something new. */
  looks: number
  routes: RouteQuality | undefined
  /** What is served at the end. */
  served: PlacedShard[]
  /** The nodes at the end. */
  nodes: ReturnType<SimulatedSwarm['nodes']>
}

/** Seconds between two measurements of the throughput. */
const SAMPLE_SECONDS = 60
/** Measurements begin once the nodes that come at first have had time to fetch their layers. */
const WARM_UP_SECONDS = ARRIVAL_SECONDS + 1_800
/** Seconds between two routes. */
const ROUTE_SECONDS = 1_800
/** A route is planned over as many peers at most: a node knows no more (`node/swarm/record-book.ts` has room for 4096). */
const MAX_ROUTED_NODES = 1_000

export const RULES = { flambeau, petals }

/** Simulates a swarm under a rule. The same scenario has the same nodes coming and going whatever the rule. */
export function simulate(name: keyof typeof RULES, scenario: Scenario): Outcome {
  const rule: Rule = RULES[name](modelOf(scenario), new Random(scenario.seed ^ 0x5eed))
  const swarm = new SimulatedSwarm({ rule, random: new Random(scenario.seed) }, scenario)
  const holes = new HoleWatch(swarm, rule)
  swarm.clock.runUntil(WARM_UP_SECONDS)
  const movesBefore = swarm.moves
  holes.start()
  const throughputs: number[] = []
  const routes = new RouteRounds(swarm, scenario)
  const end = WARM_UP_SECONDS + scenario.hours * 3_600
  while (swarm.clock.now < end) {
    swarm.clock.runUntil(swarm.clock.now + SAMPLE_SECONDS)
    throughputs.push(rule.throughput(swarm.served()))
    if (name === 'flambeau' && swarm.clock.now % ROUTE_SECONDS < SAMPLE_SECONDS) routes.measure()
  }
  return {
    rule: name,
    throughput: mean(throughputs),
    lastThroughput: throughputs.at(-1) ?? 0,
    movesPerHour: (swarm.moves - movesBefore) / scenario.hours,
    holeShare: holes.seconds() / (scenario.hours * 3_600),
    lookMilliseconds: swarm.lookMilliseconds / Math.max(1, swarm.looks),
    looks: swarm.looks,
    routes: routes.quality(),
    served: swarm.served(),
    nodes: swarm.nodes()
  }
}

/** How long something could not be had. */
class HoleWatch {
  readonly #swarm: SimulatedSwarm
  readonly #rule: Rule
  #since: number | undefined
  #seconds = 0

  constructor(swarm: SimulatedSwarm, rule: Rule) {
    this.#swarm = swarm
    this.#rule = rule
  }

  start(): void {
    this.#swarm.onChange = () => this.#look()
    this.#look()
  }

  seconds(): number {
    return this.#seconds + (this.#since === undefined ? 0 : this.#swarm.clock.now - this.#since)
  }

  #look(): void {
    const { now } = this.#swarm.clock
    if (this.#since !== undefined) this.#seconds += now - this.#since
    this.#since = this.#rule.hasHole(this.#swarm.served()) ? now : undefined
  }
}

class RouteRounds {
  readonly #swarm: SimulatedSwarm
  readonly #scenario: Scenario
  readonly #random: Random
  readonly #found: RouteQuality[] = []

  constructor(swarm: SimulatedSwarm, scenario: Scenario) {
    this.#swarm = swarm
    this.#scenario = scenario
    this.#random = new Random(scenario.seed + 1)
  }

  measure(): void {
    if (this.#scenario.nodes > MAX_ROUTED_NODES) return
    const found = routeQuality(this.#swarm, { layers: this.#scenario.layers, random: this.#random })
    if (found !== undefined) this.#found.push(found)
  }

  quality(): RouteQuality | undefined {
    if (this.#found.length === 0) return undefined
    return {
      seconds: mean(this.#found.map(({ seconds }) => seconds)),
      ratio: mean(this.#found.map(({ ratio }) => ratio)),
      attempts: mean(this.#found.map(({ attempts }) => attempts))
    }
  }
}

export function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length)
}
