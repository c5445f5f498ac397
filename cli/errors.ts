import { CodedError } from '../protocol/errors.js'

/**
 * - `USAGE` the command line is not understood
 * - `INTERRUPTED` Ctrl+C, or the request to end
 * - `NO_SWARM` this home belongs to no swarm yet
 * - `DEMO_FAILED` a node of the demo failed, or an answer was wrong
 * - `NO_FILE` the file that was named is not there
 */
export type CliErrorCode = 'USAGE' | 'INTERRUPTED' | 'NO_SWARM' | 'DEMO_FAILED' | 'NO_FILE'

/** What goes wrong between a person and the node. */
export class CliError extends CodedError<CliErrorCode> {
  override name = 'CliError'
}

export function usage(message: string): CliError {
  return new CliError('USAGE', message)
}
