import type { Dtype } from '../../protocol/hidden-states.js'
import type { RowCandidates } from '../../protocol/result.js'
import type { Timing, Want } from '../../protocol/step.js'
import type { RouteSegment, RouteStage } from '../scheduler/types.js'
import type { PipelineError } from './errors.js'

/** A stage of the route and how to reach it. */
export interface SessionStage extends RouteStage {
  /** Multiaddrs. */
  addresses: string[]
  /** What its owner calls it. */
  name?: string
}

/** What an origin wants of a session; the same whatever becomes of its stages. */
export interface SessionPlan {
  /** Manifest hash, hex. */
  manifest: string
  layers: number
  vocabulary: number
  /** Of a hidden state, elements. */
  width: number
  /** Positions to reserve. */
  context: number
  dtype: Dtype
  /** Replays repeat the steps as they were, so that a session that is computed alone goes on with the same bits. */
  exactReplay?: boolean
}

/** Finds stages, at the beginning and whenever some are lost. */
export interface RoutePlanner {
  /** A chain of stages for these layers without these peers; undefined where there is none. */
  find(segment: RouteSegment, exclude: ReadonlySet<string>): SessionStage[] | undefined
  /** Whether others in this stage's place would be so much faster that it pays to fill them. */
  isSlow(segment: RouteSegment, pace: StagePace, exclude: ReadonlySet<string>): boolean
  /** Looks around in the swarm; where nothing came of it before, waits for as long as the answer may wait for a holder.
   * False: it is no use to look again. */
  lookAround(options: { signal: AbortSignal; attempt: number }): Promise<boolean>
  /** Why nothing is found, where these peers are gone and this failed last. */
  explain(gone: ReadonlySet<string>, failure: PipelineError | undefined): PipelineError
}

/** How a stage of the route has been doing. */
export interface StagePace {
  stage: SessionStage
  /** For one token, from its arrival there until it is sent on, lately. */
  seconds: number
  /** Positions that somebody in its place would have to be filled with. */
  rows: number
}

export interface StepRequest {
  tokens: Uint32Array
  position: number
  want: Want
}

export interface StepAnswer {
  /** As many as were wanted. */
  rows: RowCandidates[]
  /** A stage each, in the order of the route. */
  timings: Timing[]
  /** Milliseconds from sending to this answer. */
  elapsed: number
}

/** How a stage's hidden states reach the next one; the last one answers the origin. */
export type LinkKind = 'ring' | 'star'

/** The route of a session has changed while it went on. */
export interface Reroute {
  /** Stages that are not part of it any more, and why; no reason: they were asked to leave. */
  left: { stage: SessionStage; reason: string | undefined }[]
  stages: SessionStage[]
  links: LinkKind[]
  /** Rows that were sent again. */
  replayed: number
  /** Milliseconds from the loss until the new stages were linked. */
  elapsed: number
}
