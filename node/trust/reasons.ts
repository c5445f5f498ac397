import type { FaultName } from '../../protocol/protocol-error.js'
import type { Intent } from './constants.js'

/** What only this node calls by a name; docs/operations.md says what each means. */
export const LOCAL_REASONS = [
  'TOO_MANY',
  'SLOW_READER',
  'SLOW_WRITER',
  'TRUNCATED',
  'FORGED_RECORD',
  'EXPIRED_RECORD',
  'INVALID_RECORD',
  'WRONG_PIECE',
  'LYING_MANIFEST',
  'BANNED'
] as const

/** Why something was refused, as counted: a status of the protocol, or one of `LOCAL_REASONS`. */
export type Reason = FaultName | (typeof LOCAL_REASONS)[number]

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
