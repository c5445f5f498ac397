/** What a stage's failure is called on the origin's side, in words for people. Pure. */
import { asError } from '../../protocol/errors.js'
import type { FaultName } from '../../protocol/protocol-error.js'
import type { Fault } from '../../protocol/stage.js'
import { DeadlineError } from '../deadline.js'
import { PipelineError } from './errors.js'
import type { SessionStage } from './session-types.js'

/** What these say: the stage is gone. */
const GONE: ReadonlySet<FaultName> = new Set(['STAGE_LOST', 'LEAVING', 'ENGINE_FAILED', 'TIMEOUT'])

/** Another stage would say the same: it is the request that cannot be served. */
const LASTING: ReadonlySet<FaultName> = new Set(['CONTEXT_FULL', 'OUT_OF_RANGE'])

/** A stage said no, or ended the session. */
export function refused(at: SessionStage, { code, message }: Fault): PipelineError {
  const stage = describe(at)
  const { peer, start, leave } = at
  const details = { peer, start, leave, status: code }
  if (code === 'BUSY') return new PipelineError('NO_ROUTE', `${stage} is busy: ${clause(message)}.`, { details })
  if (code === 'CONTEXT_FULL') {
    const advice = 'Shorten the prompt, or ask for a shorter answer with --max-tokens.'
    return new PipelineError('CONTEXT_EXCEEDED', `${stage} has not enough room: ${clause(message)}. ${advice}`, {
      details
    })
  }
  if (GONE.has(code)) return new PipelineError('STAGE_LOST', `${stage} is lost: ${clause(message)}.`, { details })
  return new PipelineError('STAGE_REFUSED', `${stage} refused with ${code}: ${message}`, { details })
}

/** A stage is gone or silent. */
export function lost(stage: SessionStage, cause: Error): PipelineError {
  const { peer, start, leave } = stage
  const reason = cause instanceof DeadlineError ? 'it does not answer' : clause(cause.message)
  const message = `${describe(stage)} is lost: ${reason}.`
  return new PipelineError('STAGE_LOST', message, { details: { peer, start, leave }, cause })
}

/** A stage did what no stage may do. */
export function broken({ peer }: SessionStage, what: string): PipelineError {
  return new PipelineError('STAGE_FAULTY', `The stage ${peer} broke the protocol: ${what}.`, { details: { peer } })
}

/** A stage that could have gone on, but does not fit a route that is made anew around it. */
export function replaced({ peer }: SessionStage): PipelineError {
  return new PipelineError('CANCELLED', `The stage ${peer} is no longer part of the route.`, { details: { peer } })
}

/** Whether another stage in its place may do better. */
export function isMendable(error: PipelineError): boolean {
  return typeof error.details['peer'] === 'string' && !LASTING.has(error.details['status'] as FaultName)
}

function describe({ name = '', peer, start, leave }: SessionStage): string {
  return `The stage with layers ${start}-${leave} (${name === '' ? peer : name})`
}

/** Others' messages end with a full stop, or without one. */
export function clause(message: string): string {
  return message.replace(/\.$/, '')
}

/** For what is no error of this layer. */
export function asPipelineError(error: unknown): PipelineError {
  return error instanceof PipelineError ? error : new PipelineError('STAGE_LOST', asError(error).message)
}
