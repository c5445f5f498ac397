import { CodedError } from '../../protocol/errors.js'

/** What can go wrong between this node and the swarm. */
export type SwarmErrorCode =
  | 'FRAME_TOO_LARGE'
  | 'FRAME_INVALID'
  | 'FRAME_TRUNCATED'
  | 'FRAME_TOO_SLOW'
  | 'READER_TOO_SLOW'
  | 'STREAM_CLOSED'
  | 'REPLY_INVALID'
  | 'IDENTITY_DAMAGED'
  | 'MEMBERSHIP_DAMAGED'
  | 'ALREADY_MEMBER'
  | 'ADDRESS_INVALID'
  | 'PORT_TAKEN'
  | 'LISTEN_FAILED'
  | 'NOT_STARTED'
  | 'PEER_UNREACHABLE'
  | 'OPEN_FAILED'
  | 'WRONG_SWARM'
  | 'UNSUPPORTED'
  | 'UNAUTHORIZED'
  | 'BANNED'
  | 'TOO_MANY'
  | 'RECORD_FORGED'
  | 'RECORD_INVALID'
  | 'RECORD_EXPIRED'
  | 'RECORD_STALE'
  | 'CLOCK_WRONG'

export class SwarmError extends CodedError<SwarmErrorCode> {
  override name = 'SwarmError'
}
