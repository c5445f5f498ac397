import { CodedError } from '../../protocol/errors.js'

/**
 * Starting:
 * - `LIBRARIES_MISSING` no llama.cpp libraries are installed for this platform and backend
 * - `BACKEND_UNAVAILABLE` libraries are there, but none of the wanted backends works on this machine
 * - `LAYOUT_MISMATCH` the libraries are of another llama.cpp than this code was written for
 *
 * Shards:
 * - `LOAD_FAILED` llama.cpp refused the file or had no memory for it
 * - `UNSUPPORTED_MODEL` llama.cpp loads it, but it cannot be run as a layer range
 * - `UNKNOWN_SHARD` never loaded, unloaded, or lost with an engine that was restarted
 *
 * Steps (the sequence keeps what it had, unless said otherwise):
 * - `BAD_STEP` sizes, ids or ranges outside what the shard allows
 * - `NOT_FINITE` hidden states with NaN or infinity
 * - `POSITION_GAP` the step starts after the end of what the sequence holds
 * - `CONTEXT_FULL` no room for the step's rows in the KV cache
 * - `LEAVE_DEEPER` the sequence was computed up to an earlier layer; it must start again from position 0
 * - `CANNOT_TRUNCATE` a recurrent model cannot go back; the sequence must start again from position 0
 * - `DECODE_FAILED` llama.cpp failed; the sequence is empty now
 * - `OUTPUT_NOT_FINITE` the model computed NaN or infinity; the sequence is empty now
 * - `F16_OVERFLOW` a hidden state is too large for f16: ask for f32
 * - `RELEASED` the sequence or shard was released while the step waited
 *
 * The process:
 * - `QUEUE_FULL` too much is waiting already: try later
 * - `ENGINE_LOST` the process died or fell silent with this call under way
 * - `ENGINE_STOPPED` not started, stopped, or restarting
 *
 * Tokenizers:
 * - `TOKENIZER_LOST` its process died or fell silent; open it again
 * - `NO_VOCABULARY` the file has none
 * - `UNKNOWN_TOKEN` a token id outside the vocabulary, or text that it has no token for
 * - `TEXT_TOO_LONG` more text than the limit
 * - `NO_TEMPLATE` the model has no chat template
 * - `BAD_TEMPLATE` the chat template failed or refused these messages
 * - `NO_TOOLS` the model's chat template has no tools, or asks for them in a way that is not known here
 * - `BAD_SCHEMA` a JSON schema that cannot be used for an answer's form
 * - `TEMPLATE_TIMEOUT` the chat template did not end; the tokenizer is gone
 */
export type EngineErrorCode =
  | 'LIBRARIES_MISSING'
  | 'BACKEND_UNAVAILABLE'
  | 'LAYOUT_MISMATCH'
  | 'LOAD_FAILED'
  | 'UNSUPPORTED_MODEL'
  | 'UNKNOWN_SHARD'
  | 'BAD_STEP'
  | 'NOT_FINITE'
  | 'POSITION_GAP'
  | 'CONTEXT_FULL'
  | 'LEAVE_DEEPER'
  | 'CANNOT_TRUNCATE'
  | 'DECODE_FAILED'
  | 'OUTPUT_NOT_FINITE'
  | 'F16_OVERFLOW'
  | 'RELEASED'
  | 'QUEUE_FULL'
  | 'ENGINE_LOST'
  | 'ENGINE_STOPPED'
  | 'TOKENIZER_LOST'
  | 'NO_VOCABULARY'
  | 'UNKNOWN_TOKEN'
  | 'TEXT_TOO_LONG'
  | 'NO_TEMPLATE'
  | 'BAD_TEMPLATE'
  | 'NO_TOOLS'
  | 'BAD_SCHEMA'
  | 'TEMPLATE_TIMEOUT'

/** What went wrong in or around llama.cpp. */
export class EngineError extends CodedError<EngineErrorCode> {
  override name = 'EngineError'
}
