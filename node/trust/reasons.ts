import type { FaultName } from '../../protocol/protocol-error.js'
import type { Intent } from './constants.js'

/** Why something was refused, as counted: a status of the protocol, or what only this node calls by a name. */
export type Reason = FaultName | LocalReason

export type LocalReason =
  /** A record whose signature does not hold, or that speaks for another peer than its signer. */
  | 'FORGED_RECORD'
  /** A peer's own record that has expired: its clock or this node's is wrong. */
  | 'EXPIRED_RECORD'
  /** A peer's own record that is of another swarm, too large or from the future. */
  | 'INVALID_RECORD'
  /** Other bytes than those of the piece that was asked for. */
  | 'WRONG_PIECE'
  /** A manifest with the right hash that contradicts itself. */
  | 'LYING_MANIFEST'
  /** More streams than a peer may open a second or have at a time. */
  | 'TOO_MANY'
  /** More bytes wait for a peer than it may let wait. */
  | 'SLOW_READER'
  /** A frame did not become whole in time. */
  | 'SLOW_WRITER'
  /** A stream that ended within a frame: its peer may just have died. */
  | 'TRUNCATED'
  /** A ban began. */
  | 'BANNED'

/** What a reason says of whoever caused it. Reasons that are not here happen among honest peers. */
export const INTENTS: Partial<Record<Reason, Intent>> = {
  FORGED_RECORD: 'malice',
  WRONG_PIECE: 'malice',
  LYING_MANIFEST: 'malice',
  UNAUTHORIZED: 'malice',
  MALFORMED: 'broken',
  TOO_LARGE: 'broken',
  NOT_FINITE: 'broken',
  OUT_OF_ORDER: 'careless',
  TIMEOUT: 'careless',
  SLOW_READER: 'careless',
  SLOW_WRITER: 'careless',
  TOO_MANY: 'flood'
}
