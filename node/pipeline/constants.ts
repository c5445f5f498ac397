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

/**
 * Bytes of hidden states that a node keeps for replays, of all its sessions together: 16384 positions of an 8B model in f16
 * (8 KiB each) twice over. Beyond it the largest journal is dropped, and its session replays from further ahead.
 */
export const MAX_JOURNAL_BYTES = 256 * 1024 * 1024
/** Replayed steps that the next stage has not run yet; the rest of `MAX_STEPS_IN_FLIGHT` is for the steps behind them. */
export const REPLAY_STEPS_IN_FLIGHT = 4

export const SWEEP_MS = 10_000

/**
 * An origin that has waited so long for a step, or half of `SILENT_STEPS` times as long as steps take where that is more,
 * asks every stage whether it lives ...
 */
export const SUSPECT_MS = 500
/** ... and a stage that does not answer within this, or the other half, is lost. */
export const ALIVE_MS = 2_000
/** Silence for as long as so many steps take says something. */
export const SILENT_STEPS = 3
/** All stages live and nothing has come for so long, or for `STALLED_STEPS` steps: the links between them are made anew. */
export const STALLED_MS = 10_000
export const STALLED_STEPS = 10
/** Whether others would be much faster than a stage is asked after so many tokens ... */
export const PACE_STEPS = 64
/** ... of which the newest counts so much. */
export const PACE_NEWEST = 0.1
/** A step may take this long while every stage answers that it lives. */
export const STEP_MS = 180_000
/** To fill the stage that is to take another one's place while that one goes on: as long as a step may take. */
export const FILL_MS = STEP_MS
/** A stage that should be replaced while it goes on, and cannot be now, is looked at again after so long. */
export const MOVE_RETRY_MS = 1_000
/** To ask the swarm who else serves the layers of a stage that is lost. */
export const LOOK_AROUND_MS = 2_000
/** While an answer waits for a holder, it looks again this often even where the directory tells of no change. */
export const WAIT_INTERVAL_MS = 1_000
/** A peer that failed is not chosen again for so long. */
export const EXCLUDE_MS = 5_000
/** Routes, or parts of one, that are tried until a step is answered; more while the answer may wait for a holder. */
export const MEND_ATTEMPTS = 8
/** A session without any step for so long is swept: longer than a step may keep the stages before it busy. */
export const SESSION_SILENCE_MS = 240_000

/** An origin keeps the session of an answer for so long, for the next turn of the conversation: less than stages are silent for. */
export const KEPT_MS = 180_000
/** Sessions that an origin keeps, so that those of other answers always get a stream. */
export const MAX_KEPT = 32
/** The part of a prompt, or of what is kept if that is shorter, that both must begin with; below it, what is kept may serve its own conversation yet. */
export const LEAST_SHARED = 0.5
/** Tokens: to read fewer of them again costs about as much as one, so the best route is worth more. */
export const LEAST_KEPT_TOKENS = 32

/** Milliseconds that the sessions on a shard have to end once another one replaces it: a long answer, not a forgotten session. */
export const RETIRE_MS = 600_000
