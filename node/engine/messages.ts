import type { EngineErrorCode } from './errors.js'
import type {
  ChatMessage,
  ContextSettings,
  EngineInfo,
  EngineSettings,
  EngineStep,
  EngineStepResult,
  LoadedShard,
  ShardFile
} from './types.js'

/** What may be asked of a child process: request and answer by name. */
export type Calls<C> = { [K in keyof C]: { request: unknown; answer: unknown } }

export interface EngineCalls {
  start: { request: EngineSettings; answer: EngineInfo }
  load: { request: { shard: ShardFile; settings: ContextSettings }; answer: LoadedShard }
  unload: { request: { shard: number }; answer: null }
  step: { request: EngineStep; answer: EngineStepResult }
  release: { request: { shard: number; sequence: number }; answer: null }
}

/** A vocabulary, whole: answers about single tokens then need no messages. */
export interface VocabularyTable {
  /** The bytes of all tokens, in the order of their ids. */
  bytes: Uint8Array
  /** `[tokens + 1]`: token `i` is `bytes[offsets[i], offsets[i + 1])`. */
  offsets: Uint32Array
  endOfGeneration: Uint32Array
  hasChatTemplate: boolean
}

export interface TokenizerCalls {
  open: { request: { file: string }; answer: VocabularyTable }
  tokenize: { request: { text: string; addSpecial: boolean; special: boolean }; answer: Uint32Array }
  render: { request: { messages: ChatMessage[] }; answer: string }
}

/** Parent to child. */
export interface CallMessage {
  id: number
  call: string
  request: unknown
}

export interface SentError {
  /** Undefined for an error that nobody foresaw. */
  code: EngineErrorCode | undefined
  message: string
  details: Record<string, unknown>
}

/** Child to parent. */
export type ChildMessage =
  { id: number; answer: unknown } | { id: number; error: SentError } | { log: { level: LogLevel; message: string } }

export type LogLevel = 'debug' | 'info' | 'warn' | 'error'
