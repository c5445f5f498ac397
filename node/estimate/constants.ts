/** Seconds of a stage outside of its compute: between node and engine, there and back (docs/performance.md). */
export const STAGE_SECONDS = 0.0008
/** Seconds of a way between two machines besides half a round trip: framing, encryption, wake-ups. */
export const WAY_SECONDS = 0.0007
/** What a further row of a step takes, in parts of the first one: weights are read once for all of them. */
export const ROW_SHARE = 0.4
/** Seconds until the route stands: tokenizing, and reserving room on the stages ... */
export const OPEN_SECONDS = 0.02
/** ... and round trips to the farthest one: a stream to each stage ... */
export const OPEN_ROUND_TRIPS = 2
/** ... then a link from each to the next. */
export const LINK_ROUND_TRIPS = 3

/** Answers that are remembered. */
export const MAX_HISTORY = 200
/** Of those over the same route, or over one alike, so many of the newest correct an estimate ... */
export const NEWEST = 5
/** ... and fewer over other routes say nothing. */
export const LEAST = 3
/** By which what nodes say of a change multiplies or divides at most. */
export const MOST_SCALE = 4
/** The power of such a change that counts over a route which answers have taken; 1 over another one (docs/performance.md). */
export const TRUST_IN_RECORDS = 0.25
/** Prompts within this factor are of about the same length. */
export const SIMILAR_PROMPT = 3
/** Answers are written so many milliseconds after they end, those that end meanwhile with them. */
export const WRITE_MS = 5_000
/** Milliseconds for the header of a model of which nothing is here; a command waits `CALL_MS` for all of it. */
export const HEADER_MS = 8_000
/** Prompt tokens, unless said otherwise. */
export const DEFAULT_PROMPT_TOKENS = 128
/** Ways within this factor of each other count as equally fast. */
export const SAME = 1.03
