/** What one request for embeddings may bring, and how it is cut into sessions. Pure but for the tokenizer. */
import type { Tokenizer } from '../engine/types.js'
import type { Manifest } from '../models/types.js'
import type { EmbedInput, EmbedRequest } from './embedding-types.js'
import { PipelineError } from './errors.js'

/** Tokens of all inputs of a request together; as many as OpenAI takes. */
export const MAX_EMBEDDED_TOKENS = 300_000
/** Numbers of all its vectors together: 16 MiB, and five times that as JSON. */
export const MAX_VECTOR_NUMBERS = 2 ** 22
/**
 * Positions that go through one session, or one text if that is longer: what is computed once more, at most, where a stage
 * is lost, and what the stages keep for that.
 */
export const SESSION_POSITIONS = 32_768

/** With what the model wants around a text; token ids as they are. @throws EngineError (tokenizer) UNKNOWN_TOKEN, TEXT_TOO_LONG, ... */
export async function embeddedTokens(
  tokenizer: Pick<Tokenizer, 'tokenize' | 'bytesOf'>,
  input: EmbedInput,
  signal: AbortSignal
): Promise<Uint32Array> {
  if (typeof input === 'string') return tokenizer.tokenize(input, { addSpecial: true, special: false, signal })
  for (const token of input) tokenizer.bytesOf(token) // throws where there is no such token
  return Uint32Array.from(input)
}

/**
 * @param input its number in the request, from 0, and the tokens of all up to it
 * @throws PipelineError EMPTY_PROMPT, CONTEXT_EXCEEDED, TOO_MUCH_INPUT
 */
export function checkTokens(
  { number, tokens, total }: { number: number; tokens: Uint32Array; total: number },
  { name, context }: Pick<Manifest, 'name' | 'context'>
): void {
  const param = `input.${number}`
  if (tokens.length === 0) throw new PipelineError('EMPTY_PROMPT', `\`${param}\` is empty.`, { details: { param } })
  if (tokens.length > context) {
    const message = `\`${param}\` has ${tokens.length} tokens, and ${name} takes ${context}. Shorten it.`
    throw new PipelineError('CONTEXT_EXCEEDED', message, { details: { param, promptTokens: tokens.length, context } })
  }
  if (total > MAX_EMBEDDED_TOKENS) {
    throw tooMuch(`Up to \`${param}\` there are ${total} tokens, and ${MAX_EMBEDDED_TOKENS} are the most.`)
  }
}

/** How many each vector has. @throws PipelineError TOO_MANY_DIMENSIONS, TOO_MUCH_INPUT */
export function checkDimensions(
  { input, dimensions }: Pick<EmbedRequest, 'input' | 'dimensions'>,
  { name, width }: Pick<Manifest, 'name' | 'width'>
): number {
  const wanted = dimensions ?? width
  if (wanted > width) {
    const message = `Embeddings of ${name} have ${width} dimensions: \`dimensions\` is at most that, not ${wanted}.`
    throw new PipelineError('TOO_MANY_DIMENSIONS', message, { details: { param: 'dimensions', width } })
  }
  const most = Math.floor(MAX_VECTOR_NUMBERS / wanted)
  if (input.length > most) throw tooMuch(`With ${wanted} dimensions a request has at most ${most} inputs.`)
  return wanted
}

/** The inputs in their order, as many together as go through one session. */
export function sessionsOf(inputs: readonly Uint32Array[]): Uint32Array[][] {
  const sessions: Uint32Array[][] = []
  let room = 0
  for (const input of inputs) {
    room -= input.length
    const last = sessions.at(-1)
    if (last !== undefined && room >= 0) {
      last.push(input)
      continue
    }
    sessions.push([input])
    room = SESSION_POSITIONS - input.length
  }
  return sessions
}

function tooMuch(why: string): PipelineError {
  return new PipelineError('TOO_MUCH_INPUT', `${why} Ask in several requests.`, { details: { param: 'input' } })
}
