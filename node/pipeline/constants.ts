/** Steps of one session that a stage holds unanswered; an origin keeps fewer under way (`STEPS_IN_FLIGHT`). */
export const MAX_STEPS_IN_FLIGHT = 8
/** Bytes of frames that wait for a slow reader before its stream is given up: four of the largest, more than an origin has under way. */
export const MAX_UNSENT_BYTES = 64 * 1024 * 1024

/** Sessions at a time on one node, whatever its shards could take. */
export const MAX_SESSIONS = 1_024
/** Sessions at a time that one peer may have here. */
export const MAX_SESSIONS_PER_PEER = 64

/** From a stream's beginning to the frame that says what it is for. */
export const FIRST_FRAME_MS = 10_000
/** To dial the next stage, open a stream and be admitted. */
export const LINK_MS = 10_000
/** To reach a stage and have it reserve its room. */
export const OPEN_MS = 10_000
/** A stream that is being closed may still send what it has for so long. */
export const CLOSE_MS = 2_000

export const SWEEP_MS = 10_000

/** An origin that has waited so long for a step asks every stage whether it lives ... */
export const SUSPECT_MS = 1_500
/** ... and a stage that does not answer within this is lost. Together below the 5 s in which a loss must show. */
export const ALIVE_MS = 2_500
/** A step may take this long while every stage answers that it lives. */
export const STEP_MS = 180_000
/** A session without any step for so long is swept: longer than a step may keep the stages before it busy. */
export const SESSION_SILENCE_MS = 240_000

/** Milliseconds that the sessions on a shard have to end once another one replaces it: a long answer, not a forgotten session. */
export const RETIRE_MS = 600_000
