import type { GenerateRequest } from '../../node/control/contract.js'
import { asError } from '../../protocol/errors.js'
import { MODEL, type ChaosMesh } from './chaos-mesh.js'
import { Course } from './course.js'
import { agreement, faultsOf } from './judgement.js'
import { holdersOf } from './layout.js'
import type { Act, PlannedAnswer, Schedule } from './schedule.js'

/** Milliseconds in which nothing at all may come of an answer: it is stuck then. */
const SILENCE_LIMIT = 60_000
/** Seconds that an answer waits for a holder, where it does. */
const WAIT_SECONDS = 120

export interface Played {
  schedule: Schedule
  courses: readonly Course[]
  /** Share of the tokens up to the first difference from the undisturbed run, an answer each. */
  agreements: number[]
  /** Tokens of all answers that the whole model chooses itself after those before them. */
  same: number
  /** What was done to whom, in words. */
  acts: string[]
  /** What must not be. */
  faults: string[]
}

export interface PlayOptions {
  replay: 'exact' | 'fast'
}

/** Plays one schedule on a mesh that is whole, judges the answers, and leaves the mesh whole. */
export async function play(mesh: ChaosMesh, schedule: Schedule, { replay }: PlayOptions): Promise<Played> {
  await mesh.originServes(schedule.originServes)
  const request = (planned: PlannedAnswer): GenerateRequest => requestOf(planned, { fate: schedule.fate, replay })
  const faults: string[] = []
  const expected: number[][] = []
  for (const planned of schedule.answers) expected.push(await undisturbed(mesh, request(planned), faults))
  const controller = new AbortController()
  const courses = schedule.answers.map(planned => new Course(mesh.origin.service, request(planned), controller.signal))
  const lengths = expected.map(({ length }) => length)
  const acts = disturb(mesh, schedule, { courses, lengths }).catch((error: unknown) => {
    faults.push(asError(error).message)
    return [asError(error).message]
  })
  for (const [i, course] of courses.entries()) {
    if (await ends(course)) continue
    faults.push(`answer ${i}: nothing came for ${SILENCE_LIMIT / 1_000} s after ${course.tokens.length} tokens`)
  }
  controller.abort(new Error('the schedule is over'))
  const done = await acts
  await mesh.mend().catch((error: unknown) => faults.push(asError(error).message))
  let same = 0
  const agreements: number[] = []
  for (const [i, planned] of schedule.answers.entries()) {
    const course = courses[i]
    if (course === undefined) continue
    const wanted = expected[i] ?? []
    const verdict = await mesh.referee.judge(request(planned), course.tokens)
    same += verdict.same
    agreements.push(course.tokens.length === 0 ? 1 : agreement(course.tokens, wanted) / course.tokens.length)
    const measure = {
      fate: schedule.fate,
      // Sessions that are computed together round differently from one alone.
      exact: replay === 'exact' && courses.length === 1,
      most: planned.tokens,
      expected: wanted,
      strange: verdict.strange
    }
    faults.push(...faultsOf(course, measure).map(fault => `answer ${i}: ${fault}`))
  }
  return { schedule, courses, agreements, same, acts: done, faults }
}

export function requestOf(
  { prompt, temperature, seed, tokens }: PlannedAnswer,
  { fate, replay }: Pick<Schedule, 'fate'> & PlayOptions
): GenerateRequest {
  return {
    ...{ model: MODEL, prompt, raw: true, dtype: 'f32', replay },
    sampling: { temperature, seed, maxTokens: tokens },
    ...(fate === 'waits' && { wait: WAIT_SECONDS })
  }
}

/** A slow stage may be replaced meanwhile, which exact replays do not show; that one is lost is a fault. */
async function undisturbed(mesh: ChaosMesh, request: GenerateRequest, faults: string[]): Promise<number[]> {
  const course = new Course(mesh.origin.service, { ...request, replay: 'exact' }, new AbortController().signal)
  await course.ended
  const losses = course.reroutes.flatMap(({ lost }) => lost.flatMap(({ reason }) => reason ?? []))
  const found = [...losses, ...(course.error === undefined ? [] : [course.error.message])]
  faults.push(...found.map(fault => `nothing was disturbed, and yet: ${fault}`))
  return course.tokens
}

/** Whether it has ended before it was silent for too long. */
async function ends(course: Course): Promise<boolean> {
  while (!course.over) {
    const left = course.last + SILENCE_LIMIT - performance.now()
    if (left <= 0) return false
    const { promise, resolve } = Promise.withResolvers<undefined>()
    const timer = setTimeout(() => resolve(undefined), left)
    await Promise.race([course.ended, promise])
    clearTimeout(timer)
  }
  return true
}

/** One disturbance after the other, as long as an answer goes on. What was done. */
async function disturb(
  mesh: ChaosMesh,
  schedule: Schedule,
  { courses, lengths }: { courses: readonly Course[]; lengths: readonly number[] }
): Promise<string[]> {
  const acts: string[] = []
  const struck = new Map<number, number[]>()
  for (const [i, { answer, share, act }] of schedule.disturbances.entries()) {
    const course = courses[answer]
    await course?.reached(Math.floor(share * (lengths[answer] ?? 0)))
    if (course === undefined || courses.every(({ over }) => over)) break
    if (act.do === 'restore') {
      const nodes = struck.get(act.of) ?? []
      await Promise.all(nodes.map(async node => mesh.restore(node)))
      acts.push(`${course.tokens.length}: restored ${nodes.join(' and ')}`)
      continue
    }
    const nodes = await strike(mesh, act, course)
    if (act.do !== 'cut') struck.set(i, nodes)
    const what = act.do === 'cut' ? 'cut' : act.blow
    acts.push(`${course.tokens.length}: ${what} ${nodes.length === 0 ? 'nobody' : nodes.join(' and ')}`)
  }
  return acts
}

/** Whom it has struck. */
async function strike(mesh: ChaosMesh, act: Exclude<Act, { do: 'restore' }>, { route }: Course): Promise<number[]> {
  const nodes = route.map(({ name }) => mesh.indexOf(name))
  if (act.do === 'black-out') return await mesh.strikeAll(holdersOf(act.layer), act.blow)
  if (act.do === 'cut') {
    const [a, b] = nodes.slice(act.stage, act.stage + 2)
    return a !== undefined && b !== undefined && (await mesh.cut(a, b)) ? [a, b] : []
  }
  const node = await mesh.strike(nodes[act.stage % Math.max(1, nodes.length)] ?? act.stage + 1, act.blow)
  return node === undefined ? [] : [node]
}
