/** What answers and embeddings have in common at the origin. */
import type { GenerateEvent, GenerateRequest, RouteStageView } from '../control/contract.js'
import type { Manifest } from '../models/types.js'
import type { FaultName } from '../../protocol/protocol-error.js'
import type { OfferedModel } from './catalogue.js'
import { PipelineError } from './errors.js'
import type { Notices } from './notices.js'
import type { LinkKind, Reroute, SessionStage } from './session-types.js'

/** What is told while something else is waited for. */
export type Notice = Extract<GenerateEvent, { event: 'reroute' | 'waiting' }>

/** Of a request: whom it asks, and how it is carried. */
export type Carried = Pick<GenerateRequest, 'model' | 'dtype' | 'replay' | 'wait'>

/** What a session is opened for. */
export interface Asked {
  model: OfferedModel
  manifest: Manifest
  /** Positions. */
  context: number
  request: Carried
}

/** Who hears of a session, and who ends its opening. */
export interface Opening {
  notices: Notices<Notice>
  onReroute: (reroute: Reroute) => void
  signal: AbortSignal
}

/** Aborts with its parent, and at the end of the block. */
export function abortedWith(parent: AbortSignal): { controller: AbortController } & Disposable {
  const controller = new AbortController()
  const abort = (): void => controller.abort(parent.reason)
  if (parent.aborted) abort()
  parent.addEventListener('abort', abort, { once: true })
  const dispose = (): void => {
    parent.removeEventListener('abort', abort)
    controller.abort(new PipelineError('CANCELLED', 'The answer is over.'))
  }
  return { controller, [Symbol.dispose]: dispose }
}

export function rerouted({ left, stages, links, replayed, elapsed }: Reroute): Notice {
  const lost = left.map(({ stage, reason }) => ({
    ...{ peer: stage.peer, name: stage.name ?? '', start: stage.start, end: stage.leave },
    ...(reason !== undefined && { reason })
  }))
  return { event: 'reroute', stages: stageViews(stages, links), lost, replayed, elapsedMs: elapsed }
}

export function isOutOfRange(error: unknown): boolean {
  return error instanceof PipelineError && error.details['status'] === ('OUT_OF_RANGE' satisfies FaultName)
}

export const cancelled = (): PipelineError => new PipelineError('CANCELLED', 'The answer was cancelled.')

export function stageViews(stages: readonly SessionStage[], links: readonly LinkKind[]): RouteStageView[] {
  return stages.map(({ peer, name = '', start, leave, local }, i) => ({
    ...{ peer, name, start, end: leave, local },
    link: i === stages.length - 1 ? 'origin' : links[i] === 'star' ? 'star' : 'direct'
  }))
}
