/** Answers without an end while nodes come and go at random: how many fail, and whether memory grows. */
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { asError } from '../../protocol/errors.js'
import type { GenerateRequest } from '../../node/control/contract.js'
import { mulberry32, pick } from '../support/random.js'
import { babbleMesh, type BenchMesh, babbleRequest, machine } from './bench-mesh.js'
import { checkCount, follow, newCourse } from './course.js'
import { MemoryWatch, type MemoryLine } from './memory.js'
import { quantile } from './statistics.js'
import { UPHEAVALS } from './upheaval.js'

/** Nodes to which nothing happens: so there is memory to follow; only the last layers can be without any holder. */
const STAY = new Set([4, 5])
/** Milliseconds between two looks at the memory. */
const SAMPLE_MS = 10_000
/** Seconds that an answer waits for a holder. */
const WAIT = 120
const KINDS = ['kill', 'kill', 'drain', 'pause', 'engine'] as const
const LONGEST_PAUSE_MS = 15_000
const TOKENS = { least: 20, most: 1_500 }
const PROMPTS = ['the', 'in the end', 'a stone is or is not. then', 'where the water was it was cold, and so on:']

interface Failure {
  /** Seconds since the beginning. */
  at: number
  what: string
  /** What happened to which nodes in the half minute before. */
  before: string[]
}

interface Tally {
  answers: number
  tokens: number
  recoveries: number
  pauses: number[]
  failures: Failure[]
  upheavals: Record<string, number>
}

/** Everything that the parts of a soak share. */
interface Soak {
  bench: BenchMesh
  seed: number
  /** Milliseconds, monotonic. */
  began: number
  until: number
  tally: Tally
  /** What happened, with its time. */
  log: { at: number; what: string }[]
}

/** Options with their defaults. */
export const usage =
  '--minutes N (30), --clients N (3), --every SECONDS between two upheavals on average (10), --seed N, --json'

export async function bench(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      minutes: { type: 'string', default: '30' },
      clients: { type: 'string', default: '3' },
      /** Seconds between two upheavals, on average. */
      every: { type: 'string', default: '10' },
      seed: { type: 'string' },
      json: { type: 'boolean', default: false }
    }
  })
  const seed = Number(values.seed ?? Math.floor(Math.random() * 2 ** 31))
  const [minutes, clients, every] = [Number(values.minutes), Number(values.clients), Number(values.every)]
  await using mesh = await babbleMesh()
  const began = performance.now()
  const tally = { answers: 0, tokens: 0, recoveries: 0, pauses: [], failures: [], upheavals: {} }
  const soak: Soak = { bench: mesh, seed, began, until: began + minutes * 60_000, tally, log: [] }
  const memory = new MemoryWatch()
  if (!values.json) console.log(`seed ${seed}`)
  await Promise.all([
    churn(soak, every * 1_000),
    ...Array.from({ length: clients }, async (_, i) => client(soak, mulberry32(seed + 1 + i))),
    watch(soak, memory)
  ])
  const half = (soak.began + soak.until) / 2
  const lines = memory.through(half, soak.until, 3 * SAMPLE_MS)
  const result = { seed, minutes, clients, every, machine: machine(), ...tally, largest: memory.largest, memory: lines }
  if (values.json) console.log(JSON.stringify(result))
  else print(result)
  if (tally.failures.length > 0) process.exitCode = 1
}

/** Asks, one answer after another. */
async function client({ bench, seed, until, tally, log, began }: Soak, random: () => number): Promise<void> {
  while (performance.now() < until) {
    const request = someRequest(random)
    const course = newCourse()
    const service = bench.origin()
    tally.answers++
    try {
      await follow(service, request, { course })
      checkCount(course)
    } catch (error) {
      note({ tally, log, began }, `${JSON.stringify(request)} (seed ${seed}): ${asError(error).message}`)
    }
    tally.tokens += course.tokens.length
    tally.recoveries += course.reroutes.length
    tally.pauses.push(...course.reroutes.map(({ elapsedMs }) => elapsedMs))
  }
}

function someRequest(random: () => number): GenerateRequest {
  const maxTokens = Math.floor(TOKENS.least + random() * (TOKENS.most - TOKENS.least))
  const temperature = random() < 0.5 ? 0 : 0.9
  return babbleRequest({
    ...{ maxTokens, wait: WAIT, prompt: pick(PROMPTS, random) ?? '' },
    dtype: random() < 0.5 ? 'f16' : 'f32',
    replay: random() < 0.5 ? 'fast' : 'exact',
    sampling: { temperature, seed: Math.floor(random() * 2 ** 31), maxTokens }
  })
}

/** Something happens to a node now and then; ends when all are back. */
async function churn(soak: Soak, every: number): Promise<void> {
  const { bench, seed, until, tally, log } = soak
  const random = mulberry32(seed)
  const busy = new Map<number, Promise<void>>()
  for (;;) {
    await sleep(every * (0.5 + random()))
    if (performance.now() >= until) break
    const free = bench.ranges.flatMap((_, i) => (i === 0 || STAY.has(i) || busy.has(i) ? [] : [i]))
    const node = pick(free, random)
    const kind = pick(KINDS, random)
    const length = random() * LONGEST_PAUSE_MS
    if (node === undefined || kind === undefined) continue
    log.push({ at: performance.now(), what: `${kind} of node ${node} (${bench.ranges[node] ?? ''})` })
    tally.upheavals[kind] = (tally.upheavals[kind] ?? 0) + 1
    const back = UPHEAVALS[kind](bench, node, length)
      .catch((error: unknown) => note(soak, `${kind} of node ${node} (seed ${seed}): ${asError(error).message}`))
      .finally(() => {
        busy.delete(node)
        log.push({ at: performance.now(), what: `node ${node} is back` })
      })
    busy.set(node, back)
  }
  await Promise.all(busy.values())
}

function note({ tally, log, began }: Pick<Soak, 'tally' | 'log' | 'began'>, what: string): void {
  const now = performance.now()
  const seconds = (at: number): number => Math.round((at - began) / 100) / 10
  const before = log.filter(({ at }) => at > now - 30_000).map(entry => `${seconds(entry.at)} s: ${entry.what}`)
  tally.failures.push({ at: seconds(now), what, before })
}

async function watch({ bench, until }: Soak, memory: MemoryWatch): Promise<void> {
  while (performance.now() < until) {
    await memory.sample(bench.mesh.nodes.map(({ process }, i) => ({ what: `node ${i}`, pid: process.pid })))
    await sleep(Math.min(SAMPLE_MS, Math.max(0, until - performance.now())))
  }
}

function print(result: {
  minutes: number
  clients: number
  every: number
  machine: string
  answers: number
  tokens: number
  recoveries: number
  pauses: number[]
  failures: Failure[]
  upheavals: Record<string, number>
  largest: number
  memory: MemoryLine[]
}): void {
  const { answers, tokens, recoveries, pauses, failures, upheavals, memory } = result
  const kinds = Object.entries(upheavals).map(([kind, count]) => `${count} × ${kind}`)
  console.log(
    `${result.minutes} minutes, ${result.clients} clients of one origin, six nodes with babble in three parts, something every ${result.every} s, on ${result.machine}`
  )
  console.log(`upheavals  ${kinds.join(', ')}`)
  console.log(`answers    ${answers}, ${failures.length} failed; ${tokens} tokens, ${recoveries} recoveries`)
  const [p50, p95, longest] = [quantile(pauses, 0.5), quantile(pauses, 0.95), Math.max(0, ...pauses)]
  console.log(`recovery   p50 ${p50.toFixed(0)} ms, p95 ${p95.toFixed(0)} ms, longest ${longest.toFixed(0)} ms`)
  console.log('memory of what lived through the second half, MiB, and its slope in MiB an hour')
  for (const { what, firstMiB, lastMiB, slopeMiBPerHour } of memory) {
    console.log(
      `  ${what.padEnd(16)} ${firstMiB.toFixed(1)} to ${lastMiB.toFixed(1)}, ${slopeMiBPerHour.toFixed(1)} an hour`
    )
  }
  console.log(`  largest process at any time ${(result.largest / 2 ** 20).toFixed(0)}`)
  const [first] = failures
  if (first === undefined) return
  console.log(`first failure, after ${first.at} s: ${first.what}`)
  for (const line of first.before) console.log(`  ${line}`)
}
