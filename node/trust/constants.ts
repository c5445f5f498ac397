/** What one peer may do with one protocol of this node. */
export interface ServiceLimits {
  /** Streams that it may open a second, lasting ... */
  perSecond: number
  /** ... and at once, after a rest. */
  burst: number
  /** Streams that it may have open at a time, over all of its connections. */
  streams: number
}

/** A dialler says hello once a connection; a restless network makes a new one every few seconds. */
export const HELLO_LIMITS: ServiceLimits = { perSecond: 10, burst: 50, streams: 16 }
/** A round of questions comes every 10 s, news a few times a second, and an impatient owner's commands on top. */
export const STATUS_LIMITS: ServiceLimits = { perSecond: 100, burst: 200, streams: 64 }
/** One a session: all sessions that a peer may have, opened again four times at once, and answers of a few tokens. */
export const STAGE_LIMITS: ServiceLimits = { perSecond: 100, burst: 256, streams: 128 }
/** One a session and hop, of all origins: every session that this node takes may come through one peer. */
export const RELAY_LIMITS: ServiceLimits = { perSecond: 400, burst: 1_024, streams: 1_024 }
/** A small model's pieces have 4 KiB, sixteen a request: a fast network asks for many. */
export const PIECES_LIMITS: ServiceLimits = { perSecond: 500, burst: 1_000, streams: 64 }
/** Kademlia: a search asks a peer once, and a node searches for every bucket of its layers. */
export const DHT_LIMITS: ServiceLimits = { perSecond: 200, burst: 500, streams: 64 }

export const SERVICE_LIMITS = {
  hello: HELLO_LIMITS,
  status: STATUS_LIMITS,
  stage: STAGE_LIMITS,
  relay: RELAY_LIMITS,
  pieces: PIECES_LIMITS,
  dht: DHT_LIMITS
} as const satisfies Record<string, ServiceLimits>

/**
 * Streams of one protocol that a connection may have open, above every limit of a peer: libp2p resets those beyond it
 * without a word to either side.
 */
export const MAX_STREAMS_OF_CONNECTION = 1_280

/**
 * Connections that a peer may have here before more of its own are refused, a fifth of all that a node has: each command
 * without a node is one, with the identity of its home.
 */
export const MAX_CONNECTIONS_OF_PEER = 64

/** A protocol of this node that peers use. */
export type Service = keyof typeof SERVICE_LIMITS

/** Peers whose rates, scores or bans are remembered, each: the longest unheard of is forgotten first. */
export const MAX_REMEMBERED_PEERS = 4_096

/** Bytes of steps of one peer's sessions that may wait for the engine: half of what its process takes for everybody. */
export const MAX_WAITING_BYTES_PER_PEER = 128 * 1024 * 1024
/** Bytes that may wait in all stage streams of one peer for it to read them: four times what one stream may. */
export const MAX_UNSENT_BYTES_PER_PEER = 256 * 1024 * 1024
/** Who was turned away for want of room in a shard wants in for this long: then nobody else may fill it up again. */
export const WANTED_MS = 60_000

/** Points of a score by intent. */
export const WEIGHTS = {
  /** What no honest program does: three times are too often. */
  malice: 40,
  /** What a damaged or wrong program does: twenty times. */
  broken: 5,
  /** What also happens to an honest peer on a bad network or a slow machine. */
  careless: 1,
  /** One request above a limit: 6400 times. */
  flood: 1 / 64
} as const

export type Intent = keyof typeof WEIGHTS

/** A score of so many points is a ban. */
export const BAN_SCORE = 100
/** Carelessness adds no more above this: alone it never bans. */
export const CARELESS_MOST = 50
/** A score is half as much after so many milliseconds. */
export const HALF_LIFE_MS = 600_000
/** The first ban, milliseconds; each later one is twice as long ... */
export const BAN_MS = 300_000
/** ... up to this. */
export const LONGEST_BAN_MS = 86_400_000
/** A ban counts as a former one for so long after its end. */
export const REPEAT_MS = 86_400_000
