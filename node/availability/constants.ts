/** Milliseconds that sessions may stay when the owner wants the machine back: moving one takes seconds. */
export const PAUSE_DRAIN_MS = 30_000
/** Milliseconds that sessions may stay after the first Ctrl+C or SIGTERM, and after `flambeau down`. */
export const LEAVE_DRAIN_MS = 15_000
/** Milliseconds that `flambeau drain` waits for sessions unless told otherwise: longer than most answers. */
export const DRAIN_MS = 600_000
/** The longest that it can be told to wait, and the longest pause with an end: a day, and a month. */
export const MAX_DRAIN_MS = 86_400_000
export const MAX_PAUSE_MS = 31 * 86_400_000

/** Milliseconds between two looks at the clock, the schedule and the machine's load. */
export const LOOK_MS = 5_000
/** Milliseconds after which two looks are too far apart to compare: the machine slept. */
export const LONGEST_LOOK_MS = 6 * LOOK_MS

/** Others use more than this part of the machine for this many milliseconds: the node yields to them. */
export const BUSY_SHARE = 0.5
export const BUSY_MS = 30_000
/** Others use less than this part of it for this many milliseconds: it serves again. */
export const QUIET_SHARE = 0.25
export const QUIET_MS = 300_000

/** Milliseconds until an engine that does not start after a pause is tried again: its memory may be taken. */
export const RESTORE_RETRY_MS = 30_000

/** Entries of `schedule.hours`: two a day, and some for exceptions. */
export const MAX_HOURS = 32
/** Processes below this one whose time is read: an engine, tokenizers, a comparison, and room. */
export const MAX_PROCESSES = 64
/** Milliseconds for nvidia-smi to answer; it may have to load the driver first. */
export const GPU_MS = 3_000
