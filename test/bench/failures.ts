/**
 * Speed of answers while stages are killed: each step, with a probability, one stage of the route is. As in the table of
 * "Distributed inference and fine-tuning of large language models over the internet" (Petals), table 1.
 */
import { parseArgs } from 'node:util'
import { asError } from '../../protocol/errors.js'
import { readGguf } from '../../node/models/gguf.js'
import { describeModel } from '../../node/models/description.js'
import type { GenerateRequest } from '../../node/control/contract.js'
import { mulberry32, pick } from '../support/random.js'
import { benchMesh, type BenchMesh, machine } from './bench-mesh.js'
import { type Course, follow, longestGap, newCourse } from './course.js'
import { priorityObstacle } from './priority.js'
import { median, quantile, spread } from './statistics.js'
import { syntheticModel } from './synthetic-model.js'

const STAGES = 4
const HOLDERS = 2
const NAME = 'noise'
const CONTEXT = 8_192
/** Seconds that an answer waits where both holders of a stage are gone. */
const WAIT = 120
/** A kill lands while tokens are on their way: the gap that it makes is one of the next ones. */
const TOKENS_AFTER_KILL = 3

/** How killed nodes start again. */
const STARTS = {
  aside: 'at once, with what the others leave of the processors',
  beside: 'at once, and takes the same processors as the answer',
  after: 'once the answer is over; the last holder of a stage is not killed'
}
type Starts = keyof typeof STARTS

interface Cell {
  tokens: number
  rate: number
}

/** Of one round of a cell; all times in milliseconds. */
interface Turn extends Cell {
  answers: number
  steps: number
  elapsed: number
  kills: number
  recoveries: number
  /** Longest gap between tokens at each kill, where somebody was left to take the place. */
  pauses: number[]
  /** The same where nobody was. */
  waits: number[]
  /** With the seed that drew the kills. */
  failures: string[]
}

interface Spread {
  count: number
  p50: number
  p95: number
  longest: number
}

interface Line extends Cell {
  /** By round. */
  stepsPerSecond: number[]
  /** Against the cell without failures, of the same round. */
  kept: number[]
  /** All rounds taken together. */
  keptInAll: number
  answers: number
  kills: number
  recoveries: number
  pauseMs: Spread
  waitMs: Spread
  failures: string[]
}

/** Options with their defaults. */
export const usage = `--shape 0.5b|1b|3b|8b (0.5b) or --model FILE, --tokens N,... of an answer (128,1024), --rates P,... of a kill before each
  step (0,1e-4,1e-3,1e-2), --rounds N (3), --warm-up TOKENS (512),
  --starts aside|beside|after (aside): a killed node starts again at once, with what others leave of the processors or as
  everybody else, or once the answer is over, --seed N, --json`

export async function bench(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      shape: { type: 'string', default: '0.5b' },
      model: { type: 'string' },
      tokens: { type: 'string', default: '128,1024' },
      rates: { type: 'string', default: '0,1e-4,1e-3,1e-2' },
      rounds: { type: 'string', default: '3' },
      'warm-up': { type: 'string', default: '512' },
      starts: { type: 'string', default: 'aside' },
      seed: { type: 'string' },
      json: { type: 'boolean', default: false }
    }
  })
  const seed = Number(values.seed ?? Math.floor(Math.random() * 2 ** 31))
  const [lengths, rates] = [values.tokens.split(',').map(Number), values.rates.split(',').map(Number)]
  const cells = lengths.flatMap(tokens => rates.map(rate => ({ tokens, rate })))
  const file = values.model ?? (await syntheticModel(values.shape))
  const { layers } = describeModel(await readGguf(file))
  const starts = await startsOf(values.starts)
  await using mesh = await benchMesh({ file, name: NAME, ranges: holders(layers), context: CONTEXT })
  const steps = Math.max(...lengths)
  await turn(mesh, { tokens: Number(values['warm-up']), rate: 0, answers: 2, seed, starts })
  const turns: Turn[] = []
  for (let round = 0; round < Number(values.rounds); round++) {
    for (const [i, cell] of cells.entries()) {
      const answers = Math.ceil(steps / cell.tokens)
      const found = await turn(mesh, { ...cell, answers, seed: seed + round * cells.length + i, starts })
      if (!values.json) console.log(`  round ${round + 1}, ${turnText(found)}`)
      turns.push(found)
    }
  }
  const lines = cells.map(cell => lineOf(cell, turns))
  const result = { model: values.model ?? values.shape, layers, machine: machine(), seed, steps, starts, lines }
  if (values.json) console.log(JSON.stringify(result))
  else print(result)
  if (lines.some(({ failures }) => failures.length > 0)) process.exitCode = 1
}

async function startsOf(wanted: string): Promise<Starts> {
  if (wanted !== 'aside' && wanted !== 'beside' && wanted !== 'after')
    throw new RangeError(`--starts ${wanted}: ${usage}`)
  const obstacle = wanted === 'aside' ? await priorityObstacle() : undefined
  if (obstacle === undefined) return wanted
  console.error(obstacle)
  return 'beside'
}

/** As even as they can be, twice. */
function holders(layers: number): string[] {
  const bound = (stage: number): number => Math.round((layers * stage) / STAGES)
  const ranges = Array.from({ length: STAGES }, (_, stage) => `${bound(stage)}-${bound(stage + 1)}`)
  return Array.from({ length: HOLDERS }, () => ranges).flat()
}

/** Answers of one cell, one after another; all nodes serve at the beginning and at the end. */
async function turn(mesh: BenchMesh, cell: Cell & { answers: number; seed: number; starts: Starts }): Promise<Turn> {
  const { tokens, rate, answers, seed, starts } = cell
  const killer = new Killer(mesh, { random: mulberry32(seed), rate, starts })
  const counted = { steps: 0, elapsed: 0, kills: 0, recoveries: 0 }
  const found: Turn = { tokens, rate, answers, ...counted, pauses: [], waits: [], failures: [] }
  for (let i = 0; i < answers; i++) {
    const course = newCourse()
    const service = mesh.origin()
    try {
      await follow(service, request(tokens), { course, onToken: () => killer.token(course) })
      if (course.tokens.length !== tokens) throw new Error(`${course.tokens.length} tokens, not ${tokens}`)
    } catch (error) {
      found.failures.push(`seed ${seed}, answer ${i + 1}: ${asError(error).message}`)
    }
    found.steps += Math.max(0, course.times.length - 1)
    found.elapsed += (course.times.at(-1) ?? 0) - (course.times[0] ?? 0)
    found.recoveries += course.reroutes.length
    const { pauses, waits } = killer.gaps(course)
    found.pauses.push(...pauses)
    found.waits.push(...waits)
    if (starts === 'after') await killer.settled()
  }
  await killer.settled()
  return { ...found, kills: killer.kills }
}

function request(maxTokens: number): GenerateRequest {
  return { model: NAME, prompt: 'the', raw: true, wait: WAIT, sampling: { temperature: 0, maxTokens } }
}

/** Draws before each step, and starts again whatever it kills. */
class Killer {
  kills = 0
  readonly #mesh: BenchMesh
  readonly #random: () => number
  readonly #rate: number
  readonly #starts: Starts
  readonly #returning = new Map<number, Promise<void>>()
  /** Start again once the answer is over. */
  readonly #gone = new Set<number>()
  #marks: { course: Course; at: number }[] = []

  constructor(mesh: BenchMesh, { random, rate, starts }: { random: () => number; rate: number; starts: Starts }) {
    this.#mesh = mesh
    this.#random = random
    this.#rate = rate
    this.#starts = starts
  }

  /** A token has come: the next step is about to begin. */
  token(course: Course): void {
    if (this.#random() >= this.#rate) return
    const node = pick(course.route, this.#random)
    // The token was on its way when its stage was killed: the route is about to change.
    if (node === undefined || this.#returning.has(node) || this.#gone.has(node)) return
    if ([...this.#gone].some(other => this.#mesh.ranges[other] === this.#mesh.ranges[node])) return
    this.kills++
    this.#marks.push({ course, at: course.times.length - 1 })
    this.#mesh.mesh.node(node).process.kill('SIGKILL')
    if (this.#starts === 'after') this.#gone.add(node)
    else this.#comeBack(node)
  }

  #comeBack(node: number): void {
    const aside = this.#starts === 'aside'
    const back = this.#mesh.comeBack(node, { aside }).then(() => void this.#returning.delete(node))
    back.catch(() => undefined) // shows in `settled`
    this.#returning.set(node, back)
  }

  /** What each kill of this answer cost its reader. */
  gaps(course: Course): Pick<Turn, 'pauses' | 'waits'> {
    const marks = this.#marks.filter(mark => mark.course === course)
    this.#marks = []
    const gaps: Pick<Turn, 'pauses' | 'waits'> = { pauses: [], waits: [] }
    for (const { at } of marks) {
      const [from, until] = [course.times[at] ?? 0, course.times[at + TOKENS_AFTER_KILL - 1] ?? Infinity]
      const waited = course.waits.some(time => from < time && time < until)
      gaps[waited ? 'waits' : 'pauses'].push(longestGap(course, from + 1e-6, until))
    }
    return gaps
  }

  /** All are back. @throws Error when a node does not come */
  async settled(): Promise<void> {
    for (const node of this.#gone) this.#comeBack(node)
    this.#gone.clear()
    await Promise.all(this.#returning.values())
  }
}

/** Steps per second; 0 where there was none. */
const speed = (turns: readonly Turn[]): number => (1_000 * sum(turns, 'steps')) / Math.max(sum(turns, 'elapsed'), 1)

function sum(turns: readonly Turn[], what: 'steps' | 'elapsed' | 'kills' | 'recoveries' | 'answers'): number {
  return turns.reduce((total, turn) => total + turn[what], 0)
}

function lineOf({ tokens, rate }: Cell, turns: readonly Turn[]): Line {
  const own = turns.filter(turn => turn.tokens === tokens && turn.rate === rate)
  const undisturbed = turns.filter(turn => turn.tokens === tokens && turn.rate === 0)
  return {
    ...{ tokens, rate },
    stepsPerSecond: own.map(turn => speed([turn])),
    kept: own.flatMap((turn, round) =>
      undisturbed.slice(round, round + 1).map(other => speed([turn]) / speed([other]))
    ),
    keptInAll: speed(own) / speed(undisturbed),
    ...{ answers: sum(own, 'answers'), kills: sum(own, 'kills'), recoveries: sum(own, 'recoveries') },
    pauseMs: spreadOf(own.flatMap(turn => turn.pauses)),
    waitMs: spreadOf(own.flatMap(turn => turn.waits)),
    failures: own.flatMap(turn => turn.failures)
  }
}

function spreadOf(values: readonly number[]): Spread {
  const [p50, p95] = [median(values), quantile(values, 0.95)]
  return { count: values.length, p50, p95, longest: Math.max(0, ...values) }
}

function turnText(turn: Turn): string {
  const { tokens, rate, kills, recoveries, failures } = turn
  const failed = failures.length === 0 ? '' : `, ${failures.length} FAILED`
  return `${tokens} tokens at ${rate}: ${speed([turn]).toFixed(1)} steps/s, ${kills} kills, ${recoveries} recoveries${failed}`
}

function print(result: {
  model: string
  machine: string
  seed: number
  steps: number
  starts: Starts
  lines: Line[]
}): void {
  console.log(
    `${result.model} in ${STAGES} stages, ${HOLDERS} holders each, one thread a node; a ninth node is the origin and serves nothing. On ${result.machine}, seed ${result.seed}`
  )
  console.log(`A cell is as many answers as make ${result.steps} tokens, in turn with the others.`)
  console.log(`A killed node is started again ${STARTS[result.starts]}.`)
  console.log('Median of the rounds (smallest to largest); "in all" is of all rounds taken together.')
  for (const line of result.lines) {
    const { tokens, rate, kept, pauseMs, waitMs, failures } = line
    const shares = kept.length === 0 ? '' : `, kept ${spread(kept, 2)}, in all ${line.keptInAll.toFixed(2)}`
    console.log(`${tokens} tokens, ${rate} a step: ${spread(line.stepsPerSecond, 1)} steps/s${shares}`)
    console.log(`  ${line.answers} answers, ${line.kills} kills, ${line.recoveries} recoveries`)
    if (pauseMs.count > 0) console.log(`  pause where somebody held the layers: ${spreadText(pauseMs)}`)
    if (waitMs.count > 0) console.log(`  where nobody did until one was back: ${spreadText(waitMs)}`)
    for (const failure of failures) console.log(`  FAILED: ${failure}`)
  }
}

function spreadText({ count, p50, p95, longest }: Spread): string {
  return `${count}, p50 ${p50.toFixed(0)} ms, p95 ${p95.toFixed(0)} ms, longest ${longest.toFixed(0)} ms`
}
