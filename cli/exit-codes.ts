import type { ConfigErrorCode } from '../node/config.js'
import type { ControlErrorCode } from '../node/control/errors.js'
import type { EngineErrorCode } from '../node/engine/errors.js'
import type { GatewayErrorCode } from '../node/gateway/errors.js'
import type { KeyErrorCode } from '../node/gateway/keys/errors.js'
import type { HoldingErrorCode } from '../node/holding/errors.js'
import type { HomeErrorCode } from '../node/home.js'
import type { ModelErrorCode } from '../node/models/errors.js'
import type { SplitErrorCode } from '../node/models/split-check.js'
import type { PipelineErrorCode } from '../node/pipeline/errors.js'
import type { NoRoomError } from '../node/pipeline/room.js'
import type { SwarmErrorCode } from '../node/swarm/errors.js'
import type { InvitationErrorCode } from '../protocol/invitation.js'
import type { FaultName } from '../protocol/protocol-error.js'
import type { CliErrorCode } from './errors.js'
import type { ServiceErrorCode } from './service/errors.js'

/** What the command's exit code tells a script. Numbers are never reused. */
export const EXIT = {
  OK: 0,
  ERROR: 1,
  USAGE: 2,
  DAEMON: 3,
  UNKNOWN_MODEL: 4,
  INCOMPLETE_MODEL: 5,
  MODEL_FILE: 6,
  NETWORK: 7,
  ANSWER: 8,
  CONTEXT: 9,
  INTERRUPTED: 130
} as const

export type ExitCode = (typeof EXIT)[keyof typeof EXIT]

/** For people, in the order of the numbers. */
export const EXIT_MEANINGS: readonly (readonly [ExitCode, string])[] = [
  [EXIT.OK, 'it worked'],
  [EXIT.ERROR, 'something unexpected, or a failed check'],
  [EXIT.USAGE, 'the command line, the configuration, the invitation or the data folder must be corrected'],
  [EXIT.DAEMON, 'no swarm, no daemon, or a daemon where none should be'],
  [EXIT.UNKNOWN_MODEL, 'nobody offers this model'],
  [EXIT.INCOMPLETE_MODEL, 'nobody serves some layers of the model, or they are all busy'],
  [EXIT.MODEL_FILE, 'the model file cannot be used'],
  [EXIT.NETWORK, 'the network: port taken, peer or swarm unreachable, refused by a peer'],
  [EXIT.ANSWER, 'the answer failed midway: a stage or an engine was lost'],
  [EXIT.CONTEXT, 'the prompt is longer than the context'],
  [EXIT.INTERRUPTED, 'interrupted']
]

/** `INTERNAL` and `ABORTED` are what the daemon says of errors without a code, and of a request that was cancelled. */
type CommonErrorCode = 'DEADLINE' | 'INTERNAL' | 'ABORTED'

export type AnyErrorCode =
  | CommonErrorCode
  | CliErrorCode
  | ServiceErrorCode
  | GatewayErrorCode
  | KeyErrorCode
  | HoldingErrorCode
  | HomeErrorCode
  | ConfigErrorCode
  | ControlErrorCode
  | EngineErrorCode
  | ModelErrorCode
  | SplitErrorCode
  | PipelineErrorCode
  | NoRoomError['code']
  | SwarmErrorCode
  | InvitationErrorCode
  | FaultName

/** Total by type: a new code does not compile until it has its place here. */
export const EXIT_BY_ERROR: Readonly<Record<AnyErrorCode, ExitCode>> = {
  DEADLINE: EXIT.NETWORK,
  INTERNAL: EXIT.ERROR,
  ABORTED: EXIT.INTERRUPTED,

  USAGE: EXIT.USAGE,
  INTERRUPTED: EXIT.INTERRUPTED,
  NO_SWARM: EXIT.DAEMON,
  DEMO_FAILED: EXIT.ERROR,
  NO_FILE: EXIT.MODEL_FILE,

  SERVICE_UNSUPPORTED: EXIT.ERROR,
  NO_SERVICE_MANAGER: EXIT.ERROR,
  SERVICE_FOREIGN: EXIT.USAGE,
  SERVICE_PATH: EXIT.USAGE,
  SERVICE_FAILED: EXIT.ERROR,
  NO_SERVICE: EXIT.DAEMON,

  HOME_UNUSABLE: EXIT.USAGE,
  SOCKET_FOLDER_UNSAFE: EXIT.USAGE,
  CONFIG_UNREADABLE: EXIT.USAGE,
  CONFIG_SYNTAX: EXIT.USAGE,
  CONFIG_UNKNOWN_KEY: EXIT.USAGE,
  CONFIG_VALUE: EXIT.USAGE,

  ALREADY_RUNNING: EXIT.DAEMON,
  NOT_RUNNING: EXIT.DAEMON,
  CONTROL_SOCKET: EXIT.DAEMON,
  DAEMON_LOST: EXIT.DAEMON,
  DAEMON_PROTOCOL: EXIT.DAEMON,
  STOPPING: EXIT.DAEMON,
  BAD_REQUEST: EXIT.USAGE,

  UNSUPPORTED_FIELD: EXIT.USAGE,
  UNKNOWN_PATH: EXIT.USAGE,
  WRONG_HOST: EXIT.NETWORK,
  FOREIGN_ORIGIN: EXIT.NETWORK,
  OWNER_ONLY: EXIT.NETWORK,
  INVALID_KEY: EXIT.NETWORK,
  MODEL_NOT_ALLOWED: EXIT.NETWORK,
  RATE_LIMITED: EXIT.NETWORK,
  TOKENS_EXHAUSTED: EXIT.NETWORK,
  OVERLOADED: EXIT.INCOMPLETE_MODEL,

  KEYS_DAMAGED: EXIT.USAGE,
  KEYS_FULL: EXIT.USAGE,
  KEYS_NEEDED: EXIT.USAGE,
  KEY_EXISTS: EXIT.USAGE,
  KEY_UNKNOWN: EXIT.USAGE,

  LIBRARIES_MISSING: EXIT.ERROR,
  BACKEND_UNAVAILABLE: EXIT.ERROR,
  LAYOUT_MISMATCH: EXIT.ERROR,
  LOAD_FAILED: EXIT.MODEL_FILE,
  UNSUPPORTED_MODEL: EXIT.MODEL_FILE,
  UNKNOWN_SHARD: EXIT.ANSWER,
  BAD_STEP: EXIT.ANSWER,
  NOT_FINITE: EXIT.ANSWER,
  OUT_OF_RANGE: EXIT.ANSWER,
  JOURNAL_GONE: EXIT.ANSWER,
  POSITION_GAP: EXIT.ANSWER,
  CONTEXT_FULL: EXIT.CONTEXT,
  LEAVE_DEEPER: EXIT.ANSWER,
  CANNOT_TRUNCATE: EXIT.ANSWER,
  DECODE_FAILED: EXIT.ANSWER,
  OUTPUT_NOT_FINITE: EXIT.ANSWER,
  F16_OVERFLOW: EXIT.ANSWER,
  RELEASED: EXIT.ANSWER,
  QUEUE_FULL: EXIT.INCOMPLETE_MODEL,
  ENGINE_LOST: EXIT.ANSWER,
  ENGINE_STOPPED: EXIT.ANSWER,
  TOKENIZER_LOST: EXIT.ANSWER,
  NO_VOCABULARY: EXIT.MODEL_FILE,
  UNKNOWN_TOKEN: EXIT.ANSWER,
  TEXT_TOO_LONG: EXIT.CONTEXT,
  NO_TEMPLATE: EXIT.USAGE,
  BAD_TEMPLATE: EXIT.MODEL_FILE,
  NO_TOOLS: EXIT.USAGE,
  BAD_SCHEMA: EXIT.USAGE,
  TEMPLATE_TIMEOUT: EXIT.MODEL_FILE,

  PINNED_RANGE: EXIT.USAGE,
  MEMORY_TOO_SMALL: EXIT.ERROR,
  NO_HOLDER: EXIT.INCOMPLETE_MODEL,
  REMOVED: EXIT.INTERRUPTED,
  PAUSED: EXIT.INCOMPLETE_MODEL,

  NOT_GGUF: EXIT.MODEL_FILE,
  UNSUPPORTED_VERSION: EXIT.MODEL_FILE,
  TRUNCATED: EXIT.MODEL_FILE,
  ABSURD_SIZE: EXIT.MODEL_FILE,
  MALFORMED: EXIT.MODEL_FILE,
  UNSUPPORTED_TYPE: EXIT.MODEL_FILE,
  BAD_METADATA: EXIT.MODEL_FILE,
  SPLIT_FILE: EXIT.MODEL_FILE,
  BAD_RANGE: EXIT.USAGE,
  BAD_MANIFEST: EXIT.MODEL_FILE,
  NOT_HELD: EXIT.INCOMPLETE_MODEL,
  SOURCE_CHANGED: EXIT.MODEL_FILE,
  PIECES_UNAVAILABLE: EXIT.INCOMPLETE_MODEL,
  BAD_PIECE: EXIT.NETWORK,
  PEER_BUSY: EXIT.INCOMPLETE_MODEL,
  PIECES_MISSING: EXIT.INCOMPLETE_MODEL,
  DISK_FULL: EXIT.ERROR,
  ALREADY_FETCHING: EXIT.ERROR,
  UNSPLITTABLE: EXIT.MODEL_FILE,
  NO_EXACT_CUTS: EXIT.MODEL_FILE,
  WHOLE_FAILED: EXIT.MODEL_FILE,

  UNKNOWN_MODEL: EXIT.UNKNOWN_MODEL,
  AMBIGUOUS_MODEL: EXIT.UNKNOWN_MODEL,
  INCOMPLETE_MODEL: EXIT.INCOMPLETE_MODEL,
  NO_ROUTE: EXIT.INCOMPLETE_MODEL,
  CONTEXT_EXCEEDED: EXIT.CONTEXT,
  EMPTY_PROMPT: EXIT.USAGE,
  NO_EMBEDDINGS: EXIT.USAGE,
  TOO_MANY_DIMENSIONS: EXIT.USAGE,
  TOO_MUCH_INPUT: EXIT.USAGE,
  NO_SEQUENCE: EXIT.INCOMPLETE_MODEL,
  NO_CONTEXT: EXIT.INCOMPLETE_MODEL,
  STAGE_REFUSED: EXIT.ANSWER,
  STAGE_LOST: EXIT.ANSWER,
  STAGE_FAULTY: EXIT.ANSWER,
  CANCELLED: EXIT.INTERRUPTED,

  FRAME_TOO_LARGE: EXIT.NETWORK,
  FRAME_INVALID: EXIT.NETWORK,
  FRAME_TRUNCATED: EXIT.NETWORK,
  FRAME_TOO_SLOW: EXIT.NETWORK,
  READER_TOO_SLOW: EXIT.NETWORK,
  STREAM_CLOSED: EXIT.NETWORK,
  REPLY_INVALID: EXIT.NETWORK,
  IDENTITY_DAMAGED: EXIT.USAGE,
  MEMBERSHIP_DAMAGED: EXIT.DAEMON,
  ALREADY_MEMBER: EXIT.DAEMON,
  ADDRESS_INVALID: EXIT.USAGE,
  PORT_TAKEN: EXIT.NETWORK,
  LISTEN_FAILED: EXIT.NETWORK,
  NOT_STARTED: EXIT.DAEMON,
  PEER_UNREACHABLE: EXIT.NETWORK,
  OPEN_FAILED: EXIT.NETWORK,
  WRONG_SWARM: EXIT.NETWORK,
  UNSUPPORTED: EXIT.NETWORK,
  UNAUTHORIZED: EXIT.NETWORK,
  BANNED: EXIT.NETWORK,
  TOO_MANY: EXIT.NETWORK,
  RECORD_FORGED: EXIT.NETWORK,
  RECORD_INVALID: EXIT.NETWORK,
  RECORD_EXPIRED: EXIT.NETWORK,
  RECORD_STALE: EXIT.NETWORK,
  CLOCK_WRONG: EXIT.NETWORK,

  NOT_AN_INVITATION: EXIT.USAGE,
  INVITATION_DAMAGED: EXIT.USAGE,
  INVITATION_VERSION: EXIT.USAGE,

  TOO_LARGE: EXIT.ANSWER,
  OUT_OF_ORDER: EXIT.ANSWER,
  UNKNOWN_SESSION: EXIT.ANSWER,
  BUSY: EXIT.INCOMPLETE_MODEL,
  UNREACHABLE: EXIT.NETWORK,
  ENGINE_FAILED: EXIT.ANSWER,
  TIMEOUT: EXIT.NETWORK,
  LEAVING: EXIT.ANSWER
}

/** The exit code for an error with `code`; a daemon of another version may know codes that this table does not. */
export function exitCodeOf(code: string): ExitCode {
  return Object.hasOwn(EXIT_BY_ERROR, code) ? EXIT_BY_ERROR[code as AnyErrorCode] : EXIT.ERROR
}
