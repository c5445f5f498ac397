/** The port next to that of other nodes. */
export const DEFAULT_PORT = 27_471
/** Bytes of a request: as on the control socket. */
export const MAX_BODY_BYTES = 8 * 1024 * 1024
/** Bytes of all headers of a request. */
export const MAX_HEADER_BYTES = 16 * 1024
/** Milliseconds until a request must have arrived whole; its headers earlier. */
export const REQUEST_MS = 60_000
export const HEADERS_MS = 10_000
/** Milliseconds that an idle connection is kept: longer than clients keep theirs. */
export const IDLE_MS = 75_000
/** Connections at a time: tools keep several, and each costs a socket. */
export const MAX_CONNECTIONS = 1024
/** Answers that are under way or wait for their turn. */
export const MAX_ANSWERS = 256
/** Milliseconds that an answer waits while every chain of nodes is busy: clients give up later. */
export const TURN_MS = 60_000
/** Milliseconds until the first in the queue tries again although no answer has ended: others free room too. */
export const RETRY_MS = 500
/** Milliseconds between comments on a stream that has nothing to say: proxies close those that are silent for a minute. */
export const HEARTBEAT_MS = 15_000
/** Milliseconds that answers get to end by themselves when the gateway stops. */
export const STOP_MS = 3_000
/** Seconds after which somebody who was refused for want of room may ask again. */
export const RETRY_AFTER_SECONDS = 5
/** Answers to one request (`n`, or several prompts). */
export const MAX_CHOICES = 8
/** Texts of one request for embeddings: OpenAI's bound, by which clients make their batches. */
export const MAX_INPUTS = 2_048
