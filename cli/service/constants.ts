import { LEAVE_DRAIN_MS } from '../../node/availability/constants.js'
import { EXIT } from '../exit-codes.js'

/** Seconds from SIGTERM to SIGKILL: sessions move or end, then parts and children stop. */
export const STOP_SECONDS = LEAVE_DRAIN_MS / 1_000 + 45

/** Seconds from a failure to the next start, and the most starts in so many seconds. */
export const RESTART_SECONDS = 10
export const MAX_STARTS = 10
export const STARTS_SECONDS = 600

/** Exit codes after which another start would end the same way. */
export const FINAL_EXITS: readonly number[] = [EXIT.USAGE, EXIT.DAEMON]

/** Milliseconds for one command of the service manager: stopping a node may be part of it. */
export const COMMAND_MS = (STOP_SECONDS + 30) * 1_000
/** Bytes that such a command may write. */
export const MAX_OUTPUT_BYTES = 2 ** 20

/** Milliseconds for a node to answer once its service is started, and between two looks. */
export const START_MS = 20_000
export const LOOK_MS = 300
