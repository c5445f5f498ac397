import { CodedError } from '../../protocol/errors.js'

/**
 * - `PINNED_RANGE` the owner's `--layers` cannot be served for this model
 * - `MEMORY_TOO_SMALL` not even the smallest allowed range of the model fits what the owner gives
 * - `NO_HOLDER` nobody offers the model's pieces
 * - `REMOVED` the owner removed the model before it was held
 * - `PAUSED` the node holds nothing now; it will when it serves again
 */
export type HoldingErrorCode = 'PINNED_RANGE' | 'MEMORY_TOO_SMALL' | 'NO_HOLDER' | 'REMOVED' | 'PAUSED'

/** This node cannot hold what it should. */
export class HoldingError extends CodedError<HoldingErrorCode> {
  override name = 'HoldingError'
}
