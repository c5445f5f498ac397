import { ProtocolError } from './protocol-error.js'

/** Numbers of `StatusCode` in `common.proto`; zero means unset and is never valid. */
export const StatusCode = {
  OK: 1,
  MALFORMED: 2,
  TOO_LARGE: 3,
  NOT_FINITE: 4,
  OUT_OF_ORDER: 5,
  UNAUTHORIZED: 6,
  UNKNOWN_SESSION: 7,
  UNKNOWN_MODEL: 8,
  BUSY: 9,
  CONTEXT_FULL: 10,
  UNREACHABLE: 11,
  STAGE_LOST: 12,
  ENGINE_FAILED: 13,
  TIMEOUT: 14,
  LEAVING: 15,
  UNSUPPORTED: 16,
  WRONG_SWARM: 17,
  INTERNAL: 18,
  OUT_OF_RANGE: 19,
  JOURNAL_GONE: 20
} as const

export type StatusName = keyof typeof StatusCode

const NAMES: ReadonlyMap<number, StatusName> = new Map(
  Object.entries(StatusCode).map(([name, code]) => [code, name as StatusName])
)

/**
 * The name of a status number from the wire.
 *
 * @throws ProtocolError - UNSUPPORTED for zero and for numbers that this version does not know
 */
export function statusName(code: number): StatusName {
  const name = NAMES.get(code)
  if (name === undefined) throw new ProtocolError('UNSUPPORTED', `status code ${code} is unknown to this version`)
  return name
}
