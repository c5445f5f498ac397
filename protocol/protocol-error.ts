import { CodedError } from './errors.js'
import type { StatusName } from './status.js'

/** Why something from the wire (or about to go on it) is refused: every status but `OK`. */
export type FaultName = Exclude<StatusName, 'OK'>

/** Bytes or values break a rule of the protocol. The code is the status that the other side is told. */
export class ProtocolError extends CodedError<FaultName> {
  override name = 'ProtocolError'
}
