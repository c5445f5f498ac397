import { CodedError } from '../../protocol/errors.js'

/**
 * - `UNKNOWN_MODEL` nobody in the swarm offers it
 * - `AMBIGUOUS_MODEL` several models answer to that name
 * - `INCOMPLETE_MODEL` layers that nobody serves
 * - `NO_ROUTE` every layer is served, but no chain of shards has room
 * - `CONTEXT_EXCEEDED` prompt longer than the model's or the route's context
 * - `EMPTY_PROMPT` nothing to continue
 * - `NO_EMBEDDINGS` the model is not made for embeddings, or pools in a way that is not supported
 * - `TOO_MANY_DIMENSIONS` more than the model's embeddings have
 * - `TOO_MUCH_INPUT` more to embed than one request may bring
 * - `STAGE_REFUSED` a stage said no, with its status
 * - `STAGE_LOST` a stage is gone or silent in the middle of an answer
 * - `STAGE_FAULTY` a stage answered something that cannot be right
 * - `CANCELLED` by whoever asked
 */
export type PipelineErrorCode =
  | 'UNKNOWN_MODEL'
  | 'AMBIGUOUS_MODEL'
  | 'INCOMPLETE_MODEL'
  | 'NO_ROUTE'
  | 'CONTEXT_EXCEEDED'
  | 'EMPTY_PROMPT'
  | 'NO_EMBEDDINGS'
  | 'TOO_MANY_DIMENSIONS'
  | 'TOO_MUCH_INPUT'
  | 'STAGE_REFUSED'
  | 'STAGE_LOST'
  | 'STAGE_FAULTY'
  | 'CANCELLED'

/** An answer cannot be given, or not to its end. */
export class PipelineError extends CodedError<PipelineErrorCode> {
  override name = 'PipelineError'
}
