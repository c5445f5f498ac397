/** How an answer is chosen, by the names that clients of every interface use. */
import { z } from 'zod'
import type { SamplingRequest } from '../control/contract.js'
import { withoutUndefined } from './defined.js'

const MAX_STOP_STRINGS = 16

/** A name, or a text that ends an answer. */
export const shortText = z.string().min(1).max(4096)
/** Tokens of an answer. */
export const maxTokens = z
  .int()
  .min(1)
  .max(2 ** 22)
const penalty = z.number().min(-2).max(2)

/** Fields of a request. */
export const samplingFields = {
  temperature: z.number().min(0).max(100).optional(),
  top_p: z.number().min(0).max(1).optional(),
  top_k: z.int().min(0).max(1_000_000).optional(),
  min_p: z.number().min(0).max(1).optional(),
  repeat_penalty: z.number().min(1).max(100).optional(),
  presence_penalty: penalty.optional(),
  frequency_penalty: penalty.optional(),
  seed: z.int().min(0).max(0xffff_ffff).optional(),
  stop: z.union([shortText, z.array(shortText).max(MAX_STOP_STRINGS)]).optional()
}

export type SamplingFields = z.output<z.ZodObject<typeof samplingFields>> & {
  logit_bias?: Record<string, number> | undefined
}

/** What the origin is asked. @param logprobs how many of the likeliest tokens are told next to each; undefined: no probabilities */
export function samplingOf(
  fields: SamplingFields,
  { maxTokens, logprobs }: { maxTokens: number | undefined; logprobs?: number | undefined }
): SamplingRequest {
  const { temperature, top_p, top_k, min_p, repeat_penalty, presence_penalty, frequency_penalty } = fields
  const { logit_bias, seed, stop } = fields
  return withoutUndefined({
    temperature,
    topP: top_p,
    topK: top_k,
    minP: min_p,
    repeatPenalty: repeat_penalty,
    presencePenalty: presence_penalty,
    frequencyPenalty: frequency_penalty,
    logitBias: logit_bias,
    seed,
    stop: typeof stop === 'string' ? [stop] : stop,
    maxTokens,
    logprobs
  })
}
