/**
 * Bounds of everything that comes from the wire. A reader checks them before it allocates; a writer never exceeds them.
 * The table in README.md is compared with this file by a test.
 */

const KIB = 1024
const MIB = 1024 * KIB

/** Bytes of a stage frame: 512 rows of 16320 f16 elements; wider states travel in fewer rows. */
export const MAX_STAGE_FRAME_BYTES = 16 * MIB
/** Bytes of a relay frame: it carries the same steps. */
export const MAX_RELAY_FRAME_BYTES = 16 * MIB
/** Bytes of the first frame of a stage or relay stream: ids and a secret. Before it there is no session to count it for. */
export const MAX_OPEN_FRAME_BYTES = 4 * KIB
/** Bytes of a hello frame: an id, a version and a sentence. */
export const MAX_HELLO_FRAME_BYTES = 4 * KIB
/** Bytes of a status frame: the peer's record and those that it knows. */
export const MAX_STATUS_FRAME_BYTES = MIB
/** Bytes of a frame that asks for pieces: hashes only. */
export const MAX_PIECES_REQUEST_BYTES = 64 * KIB
/** Bytes of an encoded manifest: 32 bytes a piece, so a model of 500 GB. */
export const MAX_MANIFEST_BYTES = 16 * MIB
/** Bytes of a model's header, metadata and tokenizer: many times the largest vocabulary. */
export const MAX_HEADER_BYTES = 256 * MIB
/** Bytes of a piece in manifests that this version writes, and the most that any may have. */
export const PIECE_BYTES = MIB
/** Bytes of a frame that answers with a piece: a manifest is fetched as one piece. */
export const MAX_PIECES_FRAME_BYTES = MAX_MANIFEST_BYTES + KIB
/** Bytes of a signed node record: as much as a DHT of strangers should store for each peer. */
export const MAX_NODE_RECORD_BYTES = 16 * KIB
/** Characters of an invitation: 16 addresses with room to spare. */
export const MAX_INVITATION_CHARACTERS = 16 * KIB

/** Fields and packed bytes in one message, so that a small frame cannot become many objects. */
export const MAX_MESSAGE_FIELDS = 16 * KIB
/** The same for a manifest: 65536 tensors with every field. */
export const MAX_MANIFEST_FIELDS = 2 * MIB

/** Bytes of a session's id: random, so that none is met twice. */
export const SESSION_BYTES = 16
/** Bytes of a stage's secret: cannot be guessed. */
export const SECRET_BYTES = 32
/** Bytes of a SHA-256. */
export const HASH_BYTES = 32
/** Bytes of a swarm's id: random. */
export const SWARM_ID_BYTES = 16
/** Bytes of the pre-shared key of a closed swarm, as @libp2p/pnet takes them. */
export const SWARM_KEY_BYTES = 32

/** Rows of one step: more does not make a decode faster. */
export const MAX_ROWS = 512
/** Elements of a hidden state: four times the widest model known. */
export const MAX_WIDTH = 65_536
/** Positions of a session: the longest context known is 10 million. */
export const MAX_POSITIONS = 16 * MIB
/** Steps of a session: a sequence number is an unsigned 32-bit integer. */
export const MAX_SEQUENCE = 4_294_967_295
/** Best candidates a row. */
export const MAX_CANDIDATES = 1024
/** Candidates a row asked for by id. */
export const MAX_WANTED_IDS = 1024
/** Timings in a step or result: one a stage passed. */
export const MAX_TIMINGS = 64
/** Bytes of a fault's or refusal's message: a sentence for people. */
export const MAX_MESSAGE_BYTES = 1024

/** Addresses of one peer. */
export const MAX_ADDRESSES = 16
/** Bytes of one multiaddr: two peer ids and a domain name. */
export const MAX_ADDRESS_BYTES = 256
/** Characters of a peer id. */
export const MAX_PEER_ID_CHARACTERS = 128
/** Bytes of a name that people read, and of a tensor's name. */
export const MAX_NAME_BYTES = 256
/** Bytes of a licence's name or address. */
export const MAX_LICENCE_BYTES = 1024
/** Bytes of an agent version such as "flambeau/0.1.0". */
export const MAX_AGENT_BYTES = 128

/** Layers of a model: eight times the deepest known. */
export const MAX_LAYERS = 1024
/** Tokens of a vocabulary: four times the largest known. */
export const MAX_VOCABULARY = 1_048_576
/** Tensors of a model. */
export const MAX_TENSORS = 65_536
/** Dimensions of a tensor, as in GGUF. */
export const MAX_DIMENSIONS = 4
/** Number of a ggml tensor type: 40 are in use. */
export const MAX_TENSOR_TYPE = 255
/** Bytes of alignment in a GGUF file. */
export const MAX_ALIGNMENT = 65_536
/** Hashes in one request for pieces: 256 MiB of pieces on one stream. */
export const MAX_PIECES_PER_REQUEST = 256

/** Models in a node record. */
export const MAX_MODELS = 32
/** Loaded shards of one model on one node. */
export const MAX_SHARDS = 16
/** Ranges of one model whose pieces a node holds. */
export const MAX_RANGES = 64
/** Latencies in a node record: the peers that it talks to most. */
export const MAX_LATENCIES = 64
/** Records of others in a status reply. */
export const MAX_KNOWN_RECORDS = 256
/** Seconds that any measured time may say: more is no measurement. */
export const MAX_SECONDS = 3600
/** Sessions, steps or threads that a node may claim. */
export const MAX_COUNT = 65_536
/** Milliseconds from signing a node record to its expiry: a peer that is gone is forgotten soon. */
export const NODE_RECORD_LIFETIME_MS = 300_000
/** Milliseconds that the clocks of two peers may differ: a record from further ahead is refused. */
export const MAX_CLOCK_SKEW_MS = 120_000
