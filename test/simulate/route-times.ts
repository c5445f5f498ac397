import { planRoute } from '../../node/scheduler/routing.js'
import type { RouteShard } from '../../node/scheduler/types.js'
import { Random } from './random.js'

const PEERS = 256
const LAYERS = 80
/** Routes that are planned before any is timed, so that V8 has compiled what they run, and those that are. */
const WARM_UP = 50
const TIMED = 500

/**
 * Milliseconds of CPU, which other load on the machine does not change much, of `planRoute` over random swarms of 256 peers and a model of 80 layers.
 */
export function routeTimes(seed: number): { median: number; p99: number } {
  const random = new Random(seed)
  const times: number[] = []
  for (let turn = 0; turn < WARM_UP + TIMED; turn++) {
    const shards = Array.from({ length: PEERS }, (_, index) => someShard(index, random))
    const latencies = Array.from({ length: PEERS * PEERS }, () => random.between(0.001, 0.1))
    const numbers = new Map(shards.map(({ peer }, index) => [peer, index]))
    const latency = (a: string, b: string): number | undefined =>
      latencies[(numbers.get(a) ?? 0) * PEERS + (numbers.get(b) ?? 0)]
    const cuts = Array.from({ length: LAYERS - 1 }, (_, index) => index + 1)
    const started = process.cpuUsage()
    planRoute({ layers: LAYERS, cuts, shards, latency, context: 2048, hopSeconds: 0.0007 })
    const { user, system } = process.cpuUsage(started)
    if (turn >= WARM_UP) times.push((user + system) / 1_000)
  }
  times.sort((a, b) => a - b)
  return { median: times[TIMED >> 1] ?? 0, p99: times[Math.floor(TIMED * 0.99)] ?? 0 }
}

function someShard(index: number, random: Random): RouteShard {
  const start = random.integer(0, LAYERS - 4)
  const end = Math.min(LAYERS, start + random.integer(4, 30))
  return {
    ...{ peer: `peer-${index}`, start, end, secondsPerLayer: random.logarithmic(0.0002, 0.005) },
    ...{ queue: random.next(), freeSessions: 1, freeContext: 4096, local: false },
    originLatency: random.between(0.001, 0.1)
  }
}
