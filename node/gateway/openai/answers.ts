/** From a request in OpenAI's form to what the origin is asked, and what both kinds of completions say of its answers. */
import type { GenerateRequest, GenerateStats } from '../../control/contract.js'
import { withoutUndefined } from '../defined.js'
import type { CommonRequest } from './schemas.js'

/** As many as are asked for: with a seed, each has its own, so that they differ. */
export function repeated(request: GenerateRequest, count: number): GenerateRequest[] {
  const { sampling } = request
  const { seed } = sampling
  return Array.from({ length: count }, (_, i) => {
    if (seed === undefined) return request
    return { ...request, sampling: { ...sampling, seed: (seed + i) % 2 ** 32 } }
  })
}

/** How an answer is carried. */
export function carriedBy({
  flambeau
}: Pick<CommonRequest, 'flambeau'>): Pick<GenerateRequest, 'dtype' | 'replay' | 'wait'> {
  return withoutUndefined({ ...flambeau })
}

export interface Usage {
  prompt_tokens: number
  /** `cached_tokens`: there already, from an earlier answer. */
  prompt_tokens_details: { cached_tokens: number }
  completion_tokens: number
  total_tokens: number
}

/** A prompt counts once, however many answers it has. @param prompts of each answer, the prompt's number */
export function usageOf(answers: readonly { prompt: number; stats: GenerateStats }[]): Usage {
  const promptTokens = new Map(answers.map(({ prompt, stats }) => [prompt, stats.promptTokens]))
  const cachedTokens = new Map(answers.map(({ prompt, stats }) => [prompt, stats.cachedTokens]))
  const sum = (values: Iterable<number>): number => [...values].reduce((total, value) => total + value, 0)
  const usage = {
    prompt_tokens: sum(promptTokens.values()),
    prompt_tokens_details: { cached_tokens: sum(cachedTokens.values()) },
    completion_tokens: sum(answers.map(({ stats }) => stats.generatedTokens))
  }
  return { ...usage, total_tokens: usage.prompt_tokens + usage.completion_tokens }
}
