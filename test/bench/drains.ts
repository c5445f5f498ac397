/** Nodes leave in order and come back, one after another, while answers go over them: none may fail. */
import { parseArgs } from 'node:util'
import { asError } from '../../protocol/errors.js'
import { mulberry32, pick } from '../support/random.js'
import { waitFor } from '../support/wait-for.js'
import { babbleMesh, type BenchMesh, babbleRequest, machine } from './bench-mesh.js'
import { checkCount, type Course, follow, longestGap, newCourse } from './course.js'
import { quantile } from './statistics.js'
import { leave, pause } from './upheaval.js'

/** Of one answer: long enough that nodes leave in the middle of it. */
const TOKENS = 800
/** Milliseconds until an answer is under way, on a machine with much to do. */
const BEGIN_LIMIT = 60_000

interface Phase {
  /** At a time. */
  answers: number
  drains: number
}

interface Result extends Phase {
  finished: number
  tokens: number
  failures: string[]
  /** Answers with other tokens than the undisturbed one; only where one goes alone. */
  wrong: number | undefined
  /** Answers whose route a drain has changed, counted for each drain. */
  moved: number
  /** Answers that went over the node when it was told to leave, with the longest gap until it had left, milliseconds. */
  gaps: number[]
  /** From the order to the end, milliseconds. */
  leaving: number[]
}

/** Options with their defaults. */
export const usage =
  '--drains N (200) with --answers N at a time (3), --alone N drains with one answer at a time (20), --seed N, --json'

export async function bench(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      drains: { type: 'string', default: '200' },
      answers: { type: 'string', default: '3' },
      /** Further drains with one answer at a time, whose tokens are compared. */
      alone: { type: 'string', default: '20' },
      seed: { type: 'string' },
      json: { type: 'boolean', default: false }
    }
  })
  const seed = Number(values.seed ?? Math.floor(Math.random() * 2 ** 31))
  await using mesh = await babbleMesh()
  const expected = await follow(mesh.origin(), babbleRequest({ maxTokens: TOKENS }), {
    course: newCourse()
  })
  const phases = [
    { answers: 1, drains: Number(values.alone) },
    { answers: Number(values.answers), drains: Number(values.drains) }
  ]
  const results: Result[] = []
  for (const [i, phase] of phases.entries()) {
    if (phase.drains > 0) results.push(await run(mesh, phase, { expected, random: mulberry32(seed + i) }))
  }
  if (values.json) console.log(JSON.stringify({ seed, machine: machine(), tokens: TOKENS, results }))
  else print(seed, results)
  if (results.some(({ failures, wrong }) => failures.length > 0 || (wrong ?? 0) > 0)) process.exitCode = 1
}

async function run(
  mesh: BenchMesh,
  phase: Phase,
  { expected, random }: { expected: Course; random: () => number }
): Promise<Result> {
  const wrong = phase.answers === 1 ? 0 : undefined
  const result: Result = { ...phase, finished: 0, tokens: 0, failures: [], wrong, moved: 0, gaps: [], leaving: [] }
  const load = new Load(mesh, result, expected)
  const clients = Array.from({ length: phase.answers }, async () => load.ask())
  for (const client of clients) client.catch(() => undefined) // shows at the end
  try {
    for (let i = 0; i < phase.drains; i++) await drain(mesh, load, { result, random, stops: i % 2 === 0 })
  } finally {
    load.over = true
    await Promise.all(clients)
  }
  return result
}

/** Answers, one after another for each client. */
class Load {
  over = false
  readonly #mesh: BenchMesh
  readonly #result: Result
  readonly #expected: Course
  readonly #underWay = new Set<Course>()

  constructor(mesh: BenchMesh, result: Result, expected: Course) {
    this.#mesh = mesh
    this.#result = result
    this.#expected = expected
  }

  /** Those that have begun. */
  get courses(): Course[] {
    return [...this.#underWay].filter(({ tokens }) => tokens.length > 0)
  }

  async ask(): Promise<void> {
    const result = this.#result
    while (!this.over) {
      const course = newCourse()
      const service = this.#mesh.origin()
      this.#underWay.add(course)
      try {
        await follow(service, babbleRequest({ maxTokens: TOKENS }), { course })
        checkCount(course)
        if (result.wrong !== undefined && course.tokens.some((token, i) => token !== this.#expected.tokens[i])) {
          result.wrong++
        }
      } catch (error) {
        result.failures.push(`drain ${result.leaving.length + 1}: ${asError(error).message}`)
      }
      result.finished++
      result.tokens += course.tokens.length
      this.#underWay.delete(course)
    }
  }
}

/** One that serves an answer now, and is not the last one with its layers: all others serve. */
async function drain(
  mesh: BenchMesh,
  load: Load,
  { result, random, stops }: { result: Result; random: () => number; stops: boolean }
): Promise<void> {
  const begun = (): number[] => load.courses.flatMap(({ route }) => route)
  const nodes = await waitFor(() => begun().length > 0 && begun(), { what: 'an answer', limit: BEGIN_LIMIT })
  const node = pick(nodes, random) ?? 0
  const over = load.courses.filter(({ route }) => route.includes(node))
  const reroutes = over.map(course => course.reroutes.length)
  const from = performance.now()
  await (stops ? leave(mesh, node) : pause(mesh, node))
  const until = performance.now()
  result.leaving.push(until - from)
  for (const [i, course] of over.entries()) {
    if (course.reroutes.length > (reroutes[i] ?? 0)) result.moved++
    result.gaps.push(longestGap(course, from, until))
  }
  if (stops) return mesh.comeBack(node)
  await mesh.mesh.node(node).service.resume()
  await mesh.serving(node)
}

function print(seed: number, results: Result[]): void {
  console.log(
    `Six nodes with babble in three parts, a seventh is the origin and serves nothing, one thread each, f32, exact replays, ${TOKENS} tokens an answer. On ${machine()}, seed ${seed}`
  )
  console.log('In turn a node is stopped with SIGTERM and started again, and paused and resumed.')
  for (const { answers, drains, finished, tokens, failures, wrong, moved, gaps, leaving } of results) {
    console.log(`${drains} drains, ${answers} answers at a time: ${finished} answers (${tokens} tokens)`)
    console.log(`  failed ${failures.length}${wrong === undefined ? '' : `, with wrong tokens ${wrong}`}`)
    console.log(`  an answer whose route changed: ${moved} times`)
    console.log(`  longest gap of an answer while a node of its route left: ${times(gaps)}`)
    console.log(`  from the order to the end of the node, or of its engine: ${times(leaving)}`)
    for (const failure of failures) console.log(`  FAILED at ${failure}`)
  }
}

function times(milliseconds: readonly number[]): string {
  const at = (share: number): string => quantile(milliseconds, share).toFixed(0)
  return `p50 ${at(0.5)} ms, p95 ${at(0.95)} ms, longest ${Math.max(0, ...milliseconds).toFixed(0)} ms`
}
