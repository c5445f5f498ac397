/** Which part of a route is to be made anew. Pure. */
import type { RouteSegment } from '../scheduler/types.js'
import type { SessionStage } from './session-types.js'

/** Seats `[from, to)` of the route; an empty run is the place where a route is still to be made. */
export interface Run {
  from: number
  to: number
}

interface Place {
  stage: Pick<SessionStage, 'peer' | 'start' | 'leave'>
  lost: unknown
}

/** The last run of lost seats: what comes after it must be ready before what comes before it sends. */
export function lostRun(seats: readonly Place[]): Run | undefined {
  if (seats.length === 0) return { from: 0, to: 0 }
  const last = seats.findLastIndex(({ lost }) => lost !== undefined)
  if (last < 0) return undefined
  const before = seats.slice(0, last).findLastIndex(({ lost }) => lost === undefined)
  return { from: before + 1, to: last + 1 }
}

/** The layers of a run and who is at its ends. */
export function segmentOf(seats: readonly Place[], { from, to }: Run, layers: number): RouteSegment {
  const before = seats[from - 1]?.stage
  const after = seats[to]?.stage
  return { start: before?.leave ?? 0, end: after?.start ?? layers, before: before?.peer, after: after?.peer }
}

/**
 * Runs around this one, itself first, with ever more of their neighbours: where nobody holds just these layers, somebody
 * may hold more than these. Stages before it cost a replay from further ahead, those after it a rebuilt KV.
 */
export function* widened(run: Run, seats: number): Generator<Run> {
  for (let extra = 0; extra <= seats - (run.to - run.from); extra++) {
    for (let after = 0; after <= extra; after++) {
      const wider = { from: run.from - (extra - after), to: run.to + after }
      if (wider.from >= 0 && wider.to <= seats) yield wider
    }
  }
}

/** A run, perhaps wider than what is lost, and who can take its place. */
export interface Found {
  run: Run
  stages: SessionStage[]
}

/** The first of the runs around this one for whose layers `find` knows somebody. */
export function replacementFor(
  lost: Run,
  seats: readonly Place[],
  { layers, find }: { layers: number; find: (segment: RouteSegment) => SessionStage[] | undefined }
): Found | undefined {
  for (const run of widened(lost, seats.length)) {
    const stages = find(segmentOf(seats, run, layers))
    if (stages !== undefined) return { run, stages }
  }
  return undefined
}
