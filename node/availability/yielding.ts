/** Whether the machine is too busy with other things for this node to compute. Pure. */
import { BUSY_MS, BUSY_SHARE, QUIET_MS, QUIET_SHARE } from './constants.js'

export interface Yielding {
  busy: boolean
  /** Milliseconds, monotonic: since when the load says otherwise; undefined where it does not. */
  since: number | undefined
}

export const NOT_YIELDING: Yielding = { busy: false, since: undefined }

/**
 * After a measurement at `at` milliseconds (monotonic) of the `share` of the machine, 0 to 1, that others use. Where it
 * could not be seen (undefined) the count begins again: what was not seen is no reason to change.
 */
export function yieldingAfter(before: Yielding, at: number, share: number | undefined): Yielding {
  const { busy } = before
  const isAgainst = share !== undefined && (busy ? share < QUIET_SHARE : share > BUSY_SHARE)
  if (!isAgainst) return { busy, since: undefined }
  const since = before.since ?? at
  return at - since >= (busy ? QUIET_MS : BUSY_MS) ? { busy: !busy, since: undefined } : { busy, since }
}
