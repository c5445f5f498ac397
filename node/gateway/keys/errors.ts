import { CodedError } from '../../../protocol/errors.js'

/**
 * - `KEYS_DAMAGED` a file of keys or of their use does not hold what it should: nobody gets in by a key
 * - `KEYS_FULL` as many keys as there may be
 * - `KEYS_NEEDED` the gateway is to listen where other machines reach it, and there is no valid key
 * - `KEY_EXISTS` another key has the name
 * - `KEY_UNKNOWN` no key has the name
 */
export type KeyErrorCode = 'KEYS_DAMAGED' | 'KEYS_FULL' | 'KEYS_NEEDED' | 'KEY_EXISTS' | 'KEY_UNKNOWN'

/** Something about the gateway's keys that their owner has to mend. */
export class KeyError extends CodedError<KeyErrorCode> {
  override name = 'KeyError'
}
