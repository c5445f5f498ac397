/** What a chaos run found, in lines. Pure. */
import { quantile } from '../bench/statistics.js'
import type { Course } from './course.js'
import type { Played } from './play.js'

export function lineOf({ schedule, courses, agreements, acts, faults }: Played): string {
  const answers = courses.map(({ tokens, error, reroutes }, i) => {
    const end = error === undefined ? '' : ` ${error.code}`
    const same = agreements[i] === 1 ? '' : ` (${percent(agreements[i] ?? 0)} as undisturbed)`
    return `${tokens.length}${same}${end}${changes(reroutes)}`
  })
  const head = `${faults.length === 0 ? 'ok  ' : 'FAIL'} #${schedule.number} ${schedule.fate}, answers ${answers.join(', ')}`
  return [`${head}; ${acts.join(', ') || 'nothing was done'}`, ...faults.map(fault => `     ${fault}`)].join('\n')
}

export function summary(played: readonly Played[]): string[] {
  const courses = played.flatMap(one => one.courses)
  const agreements = played.flatMap(one => one.agreements)
  const reroutes = courses.flatMap(course => course.reroutes)
  const whole = played.filter(({ schedule }) => schedule.fate !== 'lost').flatMap(one => one.courses)
  const peaceful = reroutes.filter(({ lost }) => lost.every(({ reason }) => reason === undefined))
  const alone = played.flatMap(one => (one.courses.length === 1 ? one.agreements : []))
  // Where nobody was left, the pause is that of whoever came back.
  const unwaiting = courses.filter(({ waits }) => waits === 0)
  const compared = courses.reduce((sum, { tokens }) => sum + tokens.length, 0)
  const same = played.reduce((sum, one) => sum + one.same, 0)
  const agreed = courses.reduce((sum, { tokens }, i) => sum + tokens.length * (agreements[i] ?? 0), 0)
  return [
    `${played.length} schedules, ${courses.length} answers, ${compared} tokens; of ${whole.length} that had to, ${whole.filter(({ done }) => done !== undefined).length} completed`,
    `as undisturbed: ${countSame(alone)} of ${alone.length} answers that were alone, ${countSame(agreements)} of ${agreements.length} in all, ${percent(agreed / Math.max(1, compared))} of the tokens up to the first difference`,
    `as the whole model chooses alone, after the same tokens: ${compared - same} of ${compared} tokens are others, by rounding`,
    `the route changed ${reroutes.length} times, ${peaceful.length} of them because a node left; ${courses.reduce((sum, { waits }) => sum + waits, 0)} times an answer waited`,
    `pauses, from the last text before to the first one after: ${spreadOf(unwaiting.flatMap(course => course.pauses))}`,
    `of these from the loss to the new route: ${spreadOf(unwaiting.flatMap(course => course.reroutes.map(({ elapsedMs }) => elapsedMs)))}`
  ]
}

/** How long each change of the route took, and `!` where stages were lost. */
function changes(reroutes: Course['reroutes']): string {
  const times = reroutes.map(({ elapsedMs, lost }) => {
    const loss = lost.some(({ reason }) => reason !== undefined)
    return ` ${loss ? '!' : '>'}${Math.round(elapsedMs)}`
  })
  return times.join('')
}

function spreadOf(milliseconds: readonly number[]): string {
  const at = (share: number): string => `${Math.round(quantile(milliseconds, share))} ms`
  return `${milliseconds.length}, p50 ${at(0.5)}, p95 ${at(0.95)}, most ${at(1)}`
}

function countSame(agreements: readonly number[]): number {
  return agreements.filter(same => same === 1).length
}

function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`
}
