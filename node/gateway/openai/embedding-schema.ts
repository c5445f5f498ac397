/** Body of `POST /v1/embeddings`, as OpenAI's interface has it: what is not here is refused by name. */
import { z } from 'zod'
import { MAX_VOCABULARY, MAX_WIDTH } from '../../../protocol/limits.js'
import { MAX_EMBEDDED_TOKENS } from '../../pipeline/embedding-input.js'
import { MAX_INPUTS } from '../constants.js'
import { shortText } from '../sampling.js'
import { carriage, user } from './schemas.js'

type Input = string | string[] | number[] | number[][]

/** By hand: where nothing fits, a schema would say so of each of hundreds of thousands of tokens. */
const input = z.custom<Input>(
  value => isText(value) || isTokens(value) || isList(value, isText) || isList(value, isTokens),
  {
    error: `must be text or token ids, or a list of at most ${MAX_INPUTS} of either; none of them empty`
  }
)

function isText(value: unknown): boolean {
  return typeof value === 'string' && value !== ''
}

function isTokens(value: unknown): boolean {
  return Array.isArray(value) && value.length > 0 && value.length <= MAX_EMBEDDED_TOKENS && value.every(isToken)
}

function isToken(value: unknown): boolean {
  return Number.isInteger(value) && Number(value) >= 0 && Number(value) < MAX_VOCABULARY
}

function isList(value: unknown, isOne: (one: unknown) => boolean): boolean {
  return Array.isArray(value) && value.length > 0 && value.length <= MAX_INPUTS && value.every(isOne)
}

export const embeddingRequest = z.strictObject({
  model: shortText,
  input,
  encoding_format: z.enum(['float', 'base64']).optional(),
  dimensions: z.int().min(1).max(MAX_WIDTH).optional(),
  user: user.optional(),
  flambeau: carriage.optional()
})

export type EmbeddingRequest = z.output<typeof embeddingRequest>
