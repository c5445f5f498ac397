/** From a request in OpenAI's form to what the origin is asked, and what both kinds of completions say of its answers. */
import type { GenerateEvent, GenerateRequest, GenerateStats, SamplingRequest } from '../../control/contract.js'
import type { CommonRequest } from './schemas.js'

type DoneEvent = Extract<GenerateEvent, { event: 'done' }>

export function samplingOf(
  request: CommonRequest,
  { maxTokens, logprobs }: { maxTokens: number | undefined; logprobs: number | undefined }
): SamplingRequest {
  const { temperature, top_p, top_k, min_p, repeat_penalty, presence_penalty, frequency_penalty } = request
  const { logit_bias, seed, stop } = request
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
export function carriedBy({ flambeau }: CommonRequest): Pick<GenerateRequest, 'dtype' | 'replay' | 'wait'> {
  return withoutUndefined({ ...flambeau })
}

export interface Usage {
  prompt_tokens: number
  completion_tokens: number
  total_tokens: number
}

/** A prompt counts once, however many answers it has. @param prompts of each answer, the prompt's number */
export function usageOf(answers: readonly { prompt: number; stats: GenerateStats }[]): Usage {
  const promptTokens = new Map(answers.map(({ prompt, stats }) => [prompt, stats.promptTokens]))
  const sum = (values: Iterable<number>): number => [...values].reduce((total, value) => total + value, 0)
  const usage = {
    prompt_tokens: sum(promptTokens.values()),
    completion_tokens: sum(answers.map(({ stats }) => stats.generatedTokens))
  }
  return { ...usage, total_tokens: usage.prompt_tokens + usage.completion_tokens }
}

export function finishReason({ reason }: DoneEvent): 'stop' | 'length' {
  return reason === 'length' || reason === 'context' ? 'length' : 'stop'
}

/** Where an answer came from and what it took: Flambeau's own part of a choice. Milliseconds. */
export interface FlambeauView {
  route: (Pick<Stage, 'peer' | 'name' | 'start' | 'end' | 'local' | 'link'> & {
    compute_ms: number
    queued_ms: number
  })[]
  seed: number
  first_token_ms: number
  decode_ms: number
  tokens_per_second: number
  network_ms: number
  recoveries: { lost: RerouteEvent['lost']; replayed: number; elapsed_ms: number }[]
}

type Stage = GenerateStats['stages'][number]
type RerouteEvent = Extract<GenerateEvent, { event: 'reroute' }>

/** Collects it. */
export class Course {
  readonly #recoveries: FlambeauView['recoveries'] = []

  rerouted({ lost, replayed, elapsedMs }: RerouteEvent): void {
    this.#recoveries.push({ lost, replayed, elapsed_ms: rounded(elapsedMs) })
  }

  view({ stages, seed, firstTokenMs, decodeMs, tokensPerSecond, networkMs }: GenerateStats): FlambeauView {
    return {
      route: stages.map(({ computeMs, queuedMs, ...stage }) => ({
        ...{ ...stage, compute_ms: rounded(computeMs), queued_ms: rounded(queuedMs) }
      })),
      seed,
      first_token_ms: rounded(firstTokenMs),
      decode_ms: rounded(decodeMs),
      tokens_per_second: rounded(tokensPerSecond),
      network_ms: rounded(networkMs),
      recoveries: this.#recoveries
    }
  }
}

/** Thousandths are less than what is measured. */
function rounded(value: number): number {
  return Math.round(value * 1_000) / 1_000
}

type Defined<T> = { [K in keyof T]?: Exclude<T[K], undefined> }

function withoutUndefined<T extends object>(values: T): Defined<T> {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as Defined<T>
}
