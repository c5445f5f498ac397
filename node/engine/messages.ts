import type { EngineErrorCode } from './errors.js'
import { STRUCTURED, type Codec } from './codec.js'
import { STEP, STEP_RESULT } from './step-codec.js'
import type {
  ChatMessage,
  ContextSettings,
  EngineInfo,
  EngineSettings,
  EngineStep,
  EngineStepResult,
  LoadedShard,
  ShardFile,
  TextForm,
  Tool,
  ToolFormat
} from './types.js'

/** What may be asked of a child process: request and answer by name. */
export type Calls<C> = { [K in keyof C]: { request: unknown; answer: unknown } }

/** How the requests and answers of `C` are put into bytes; a call's place in it is its number in messages. */
export type CallCodecs<C extends Calls<C>> = {
  readonly [K in keyof C]: { request: Codec<C[K]['request']>; answer: Codec<C[K]['answer']> }
}

export interface EngineCalls {
  start: { request: EngineSettings; answer: EngineInfo }
  load: { request: { shard: ShardFile; settings: ContextSettings }; answer: LoadedShard }
  unload: { request: { shard: number }; answer: null }
  step: { request: EngineStep; answer: EngineStepResult }
  release: { request: { shard: number; sequence: number }; answer: null }
}

const STRUCTURED_CALL = { request: STRUCTURED, answer: STRUCTURED }

export const ENGINE_CODECS: CallCodecs<EngineCalls> = {
  start: STRUCTURED_CALL,
  load: STRUCTURED_CALL,
  unload: STRUCTURED_CALL,
  step: { request: STEP, answer: STEP_RESULT },
  release: STRUCTURED_CALL
}

/** A vocabulary, whole: answers about single tokens then need no messages. */
export interface VocabularyTable {
  /** The bytes of all tokens, in the order of their ids. */
  bytes: Uint8Array
  /** `[tokens + 1]`: token `i` is `bytes[offsets[i], offsets[i + 1])`. */
  offsets: Uint32Array
  endOfGeneration: Uint32Array
  hasChatTemplate: boolean
  toolFormat: ToolFormat | undefined
  toolMarks: ReadonlyMap<number, string>
}

export interface TokenizerCalls {
  open: { request: { file: string }; answer: VocabularyTable }
  tokenize: { request: { text: string; addSpecial: boolean; special: boolean }; answer: Uint32Array }
  render: { request: { messages: ChatMessage[]; tools: Tool[] | undefined }; answer: string }
  /** Begins a text of this form; the answer is its number. */
  constrain: { request: TextForm; answer: number }
  /** After `accepted`, which of the candidates may come next; of all tokens where none are given. */
  allow: {
    request: { constraint: number; accepted: number | undefined; candidates: Uint32Array | undefined }
    answer: Uint32Array
  }
  release: { request: { constraint: number }; answer: null }
}

export const TOKENIZER_CODECS: CallCodecs<TokenizerCalls> = {
  open: STRUCTURED_CALL,
  tokenize: STRUCTURED_CALL,
  render: STRUCTURED_CALL,
  constrain: STRUCTURED_CALL,
  allow: STRUCTURED_CALL,
  release: STRUCTURED_CALL
}

/** What a child's message is; in the parent's, the call's number stands there. */
export const REPLY = { answer: 0, error: 1, log: 2 } as const

export interface SentError {
  /** Undefined for an error that nobody foresaw. */
  code: EngineErrorCode | undefined
  message: string
  details: Record<string, unknown>
}

export type LogLevel = 'debug' | 'info' | 'warn' | 'error'

export interface SentLog {
  level: LogLevel
  message: string
}
