/** Seconds of a stage outside of its compute: between node and engine, there and back (docs/performance.md). */
export const STAGE_SECONDS = 0.0008
/** Seconds of a way between two machines besides half a round trip: framing, encryption, wake-ups. */
export const WAY_SECONDS = 0.0007
/** What a further row of a step takes, in parts of the first one: weights are read once for all of them. */
export const ROW_SHARE = 0.35
/** Seconds until the route stands: tokenizing, and reserving room on the stages ... */
export const OPEN_SECONDS = 0.03
/** ... and round trips to the farthest one: a stream to each stage, then a link from each to the next. */
export const OPEN_ROUND_TRIPS = 3

/** Answers that are remembered. */
export const MAX_HISTORY = 200
/** Of those that are alike, so many of the newest correct an estimate ... */
export const NEWEST = 9
/** ... and fewer say nothing. */
export const LEAST = 3
/** By which a correction multiplies or divides at most: what is off by more is not understood. */
export const MOST_CORRECTION = 4
/** Answers are written so many milliseconds after they end, those that end meanwhile with them. */
export const WRITE_MS = 5_000
/** Milliseconds for the header of a model of which nothing is here; a command waits `CALL_MS` for all of it. */
export const HEADER_MS = 8_000
/** Prompt tokens, unless said otherwise. */
export const DEFAULT_PROMPT_TOKENS = 128
/** Ways within this factor of each other count as equally fast. */
export const SAME = 1.03
