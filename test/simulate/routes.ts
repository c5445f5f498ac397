/** Routes through a simulated swarm: as an origin plans them with what it knows, against the best chain there is. */
import { planRoute } from '../../node/scheduler/routing.js'
import type { PlacedShard, RouteRequest, RouteShard, RouteStage } from '../../node/scheduler/types.js'
import type { Random } from './random.js'
import type { SimulatedNode } from './scenario.js'
import type { SimulatedSwarm } from './swarm.js'

/** One way along a side of the square in which nodes live, and what is added to every way. Seconds. */
const WIDTH_SECONDS = 0.08
const LEAST_SECONDS = 0.002
/** What a hop costs besides, as `node/pipeline/route.ts` counts it. */
const HOP_SECONDS = 0.0007
/** Of all pairs of peers, so many parts know how far they are from each other and say so. */
const KNOWN_LATENCIES = 0.5
/** Routes that an origin tries for one answer (`node/pipeline/origin.ts`). */
const MAX_ATTEMPTS = 4

export interface RouteQuality {
  /** Per token. */
  seconds: number
  /** Of that to the best chain's. */
  ratio: number
  /** Routes that were tried until one had no node that is gone. */
  attempts: number
}

type Place = Pick<SimulatedNode, 'x' | 'y'>

export function oneWay(a: Place, b: Place): number {
  return LEAST_SECONDS + WIDTH_SECONDS * Math.hypot(a.x - b.x, a.y - b.y)
}

/** Undefined where there is no complete chain. */
export function routeQuality(
  swarm: SimulatedSwarm,
  { layers, random }: { layers: number; random: Random }
): RouteQuality | undefined {
  const origin = { x: random.next(), y: random.next() }
  const nodes = new Map(swarm.nodes().map(node => [node.peer, node]))
  const salt = random.integer(0, 0xffffff)
  const truth = requestOf(layers, swarm.served(), { origin, nodes, knows: () => true })
  const best = planRoute(truth)
  if (best.kind !== 'route') return undefined
  const knows = (a: string, b: string): boolean => hashOf(salt, a, b) < KNOWN_LATENCIES
  const { served } = swarm.directory.seen(random.integer(0, 2))
  const seen = requestOf(layers, served, { origin, nodes, knows })
  const gone = new Set<string>()
  for (let attempts = 1; attempts <= MAX_ATTEMPTS; attempts++) {
    const plan = planRoute({ ...seen, exclude: gone })
    if (plan.kind !== 'route') return undefined
    const missing = plan.stages.filter(stage => !isServed(truth, stage))
    for (const { peer } of missing) gone.add(peer)
    if (missing.length > 0) continue
    const seconds = secondsOf(truth, plan.stages)
    return { seconds, ratio: seconds / best.secondsPerToken, attempts }
  }
  return undefined
}

interface World {
  origin: Place
  nodes: ReadonlyMap<string, SimulatedNode>
  knows: (a: string, b: string) => boolean
}

function requestOf(layers: number, served: readonly PlacedShard[], { origin, nodes, knows }: World): RouteRequest {
  const shards = served.map(({ peer, start, end, layersPerSecond }): RouteShard => {
    const originLatency = oneWay(nodes.get(peer) ?? origin, origin)
    const room = { queue: 0, freeSessions: 1, freeContext: 4096, local: false }
    return { peer, start, end, secondsPerLayer: 1 / layersPerSecond, originLatency, ...room }
  })
  const latency = (from: string, to: string): number | undefined => {
    const [a, b] = [nodes.get(from), nodes.get(to)]
    return a === undefined || b === undefined || !knows(from, to) ? undefined : oneWay(a, b)
  }
  const cuts = Array.from({ length: layers - 1 }, (_, index) => index + 1)
  return { layers, cuts, shards, latency, context: 2048, hopSeconds: HOP_SECONDS }
}

function isServed({ shards }: RouteRequest, stage: RouteStage): boolean {
  return shards.some(({ peer, start, end }) => peer === stage.peer && start === stage.start && end >= stage.leave)
}

/** What a token takes along these stages, by what is true. */
function secondsOf({ shards, latency, hopSeconds }: RouteRequest, stages: readonly RouteStage[]): number {
  const byPeer = new Map(shards.map(shard => [shard.peer, shard]))
  let seconds = hopSeconds
  stages.forEach(({ peer, start, leave }, index) => {
    const shard = byPeer.get(peer)
    const next = stages[index + 1]
    if (shard === undefined) return
    seconds += (leave - start) * shard.secondsPerLayer + hopSeconds
    if (index === 0) seconds += shard.originLatency
    seconds += next === undefined ? shard.originLatency : (latency(peer, next.peer) ?? 0)
  })
  return seconds
}

/** A number in [0, 1) for a pair, whichever way round. */
function hashOf(salt: number, a: string, b: string): number {
  let hash = salt
  for (const character of a < b ? a + b : b + a) hash = Math.imul(hash ^ character.charCodeAt(0), 0x01000193)
  return (hash >>> 0) / 2 ** 32
}
