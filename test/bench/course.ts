import type { GenerateEvent, GenerateRequest } from '../../node/control/contract.js'
import type { ControlService } from '../../node/control/service.js'

export type Reroute = Extract<GenerateEvent, { event: 'reroute' }>

/** An answer as its reader sees it. */
export interface Course {
  tokens: number[]
  /** When each of them came, milliseconds, monotonic. */
  times: number[]
  reroutes: Reroute[]
  /** When it said that it waits for somebody to serve some layers, milliseconds. */
  waits: number[]
  /** Nodes of the route as it is, by their numbers. */
  route: number[]
  /** When the route was open. */
  opened: number | undefined
  /** How it ended; undefined while it goes on, and when it has failed. */
  end: Extract<GenerateEvent, { event: 'done' }> | undefined
  over: boolean
}

export const newCourse = (): Course => {
  return { tokens: [], times: [], reroutes: [], waits: [], route: [], opened: undefined, end: undefined, over: false }
}

/**
 * Asks, and notes the course of the answer in `course`; `onToken` is told of each token before the next one is read.
 * @throws what the answer ends with
 */
export async function follow(
  service: Pick<ControlService, 'generate'>,
  request: GenerateRequest,
  { course, onToken, signal }: { course: Course; onToken?: (course: Course) => void; signal?: AbortSignal }
): Promise<Course> {
  try {
    for await (const event of service.generate(request, { ...(signal && { signal }) })) note(course, event, onToken)
    return course
  } finally {
    course.over = true
  }
}

function note(course: Course, event: GenerateEvent, onToken: ((course: Course) => void) | undefined): void {
  switch (event.event) {
    case 'route':
      course.opened = performance.now()
      course.route = nodesOf(event)
      break
    case 'reroute':
      course.reroutes.push(event)
      course.route = nodesOf(event)
      break
    case 'text':
      for (const token of event.tokens) {
        course.tokens.push(token)
        course.times.push(performance.now())
        onToken?.(course)
      }
      break
    case 'error':
      throw new Error(event.error.message)
    case 'done':
      course.end = event
      break
    case 'waiting':
      course.waits.push(performance.now())
      break
    case 'tool-call': // nobody offers tools here
  }
}

/** The mesh calls its nodes `node-0`, `node-1` and so on. */
function nodesOf({ stages }: Pick<Reroute, 'stages'>): number[] {
  return stages.map(({ name }) => Number(name.replace('node-', '')))
}

/** The longest time without a token that touches `[from, until]`, milliseconds; 0 where there is none. */
export function longestGap({ times }: Pick<Course, 'times'>, from: number, until: number): number {
  let longest = 0
  for (const [i, time] of times.entries()) {
    const before = times[i - 1]
    if (before !== undefined && time >= from && before <= until) longest = Math.max(longest, time - before)
  }
  return longest
}

/** @throws Error when other tokens came than the origin has counted */
export function checkCount({ tokens, end }: Course): void {
  const counted = end?.stats.generatedTokens ?? 0
  if (tokens.length !== counted) throw new Error(`${tokens.length} tokens came, and the answer has ${counted}`)
}
