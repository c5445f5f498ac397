/** Bytes of a request: a conversation as long as the largest context, in the longest tokens, with room. */
export const MAX_REQUEST_BYTES = 8 * 1024 * 1024
/** Bytes of an answer that is not a stream: a swarm of 10 000 peers at 1 KiB each, with room. */
export const MAX_ANSWER_BYTES = 32 * 1024 * 1024
/** Bytes of one event. */
export const MAX_EVENT_BYTES = 1024 * 1024
/** Milliseconds between the empty lines that say that a quiet stream is alive. */
export const HEARTBEAT_MS = 5_000
/** Milliseconds without a byte after which a daemon counts as lost: several heartbeats. */
export const SILENCE_MS = 30_000
/** Milliseconds for a call that is not a stream. */
export const CALL_MS = 15_000
/** Milliseconds to find out whether a daemon answers on the socket. */
export const PROBE_MS = 2_000
/** Milliseconds that streams get to end by themselves when the daemon stops. */
export const STOP_MS = 3_000
/** Streams at a time: the owner's own commands and programs. */
export const MAX_STREAMS = 256
/** Seconds that an answer may wait for somebody to serve layers: who comes back after a day is asked anew. */
export const MAX_WAIT_SECONDS = 86_400
/** Tokens of a prompt or an answer: more than any model has room for. */
export const MAX_TOKENS = 2 ** 22
