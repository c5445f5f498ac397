import { ProtocolError } from '../../protocol/protocol-error.js'
import { DeadlineError } from '../deadline.js'
import type { Reason } from '../trust/reasons.js'
import { SwarmError } from './errors.js'

/** By the code of an error of a stream. */
const REASONS: ReadonlyMap<unknown, Reason> = new Map<string, Reason>([
  ['MALFORMED', 'MALFORMED'],
  ['FRAME_INVALID', 'MALFORMED'],
  ['ERR_INVALID_MSG_LENGTH', 'MALFORMED'],
  ['ERR_MSG_LENGTH_TOO_LONG', 'MALFORMED'],
  ['FRAME_TRUNCATED', 'TRUNCATED'],
  ['ERR_UNEXPECTED_EOF', 'TRUNCATED'],
  ['TOO_LARGE', 'TOO_LARGE'],
  ['FRAME_TOO_LARGE', 'TOO_LARGE'],
  ['ERR_MSG_DATA_TOO_LONG', 'TOO_LARGE'],
  ['FRAME_TOO_SLOW', 'SLOW_WRITER'],
  ['READER_TOO_SLOW', 'SLOW_READER'],
  ['DEADLINE', 'TIMEOUT'],
  ['UNAUTHORIZED', 'UNAUTHORIZED'],
  ['RECORD_FORGED', 'FORGED_RECORD'],
  ['RECORD_EXPIRED', 'EXPIRED_RECORD'],
  ['RECORD_INVALID', 'INVALID_RECORD']
])

/** As what an error of a stream counts that the other side caused; undefined for a loss or a fault of this node's own. */
export function reasonOf(error: unknown): Reason | undefined {
  const isOurs = error instanceof ProtocolError || error instanceof SwarmError || error instanceof DeadlineError
  return isOurs || isOfFraming(error) ? REASONS.get(error.code) : undefined
}

/** it-length-prefixed has no common class of errors. */
function isOfFraming(error: unknown): error is Error & { code: string } {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' && error.code.startsWith('ERR_')
}
