/** Keys of one node: everybody who is to have one, and each is looked at with every request. */
export const MAX_KEYS = 256
/** Characters; names are shown on terminals and in the log. */
export const MAX_KEY_NAME = 64
/** Models that a key can be limited to, and characters of each: a name, or a manifest hash. */
export const MAX_KEY_MODELS = 32
export const MAX_MODEL_NAME = 256
/** Requests a minute: more than one machine serves. */
export const MAX_RPM = 1_000_000
export const MAX_TOKENS_PER_DAY = 1_000_000_000_000
/** Seconds: ten years. */
export const MAX_EXPIRY_SECONDS = 3_650 * 86_400
/** Random bytes of a secret. */
export const SECRET_BYTES = 32
/** Begins every secret, so that it is told apart from what clients send for want of one, and found where it leaked. */
export const SECRET_PREFIX = 'flambeau-'
/** Milliseconds between two looks at the keys while answers for some are under way: a revoked one ends within that. */
export const LOOK_MS = 250
/**
 * Milliseconds after a change of the folder in which it may change again without a new time of change: file systems
 * count in steps of up to two seconds.
 */
export const SETTLE_MS = 2_000
/** Milliseconds until spent tokens are on disk: what a node that is killed forgets. */
export const USAGE_WRITE_MS = 5_000
/** Keys whose tokens of the day are counted, those that were revoked today with them; the longest idle is forgotten first. */
export const MAX_COUNTED_KEYS = 4 * MAX_KEYS
