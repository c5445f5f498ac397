/** What every interface says of an answer: why it ended, where it came from and what it took. */
import type { GenerateEvent, GenerateStats } from '../control/contract.js'

type DoneEvent = Extract<GenerateEvent, { event: 'done' }>
type RerouteEvent = Extract<GenerateEvent, { event: 'reroute' }>
type Stage = GenerateStats['stages'][number]

/** In the words of OpenAI's interface; Ollama's has the same, but for calls, which are a `stop` there. */
export function finishReason({ reason }: DoneEvent): 'stop' | 'length' | 'tool_calls' {
  if (reason === 'tool-calls') return 'tool_calls'
  return reason === 'length' || reason === 'context' ? 'length' : 'stop'
}

/** Where an answer came from and what it took: Flambeau's own part of it. Milliseconds. */
export interface FlambeauView {
  route: (Pick<Stage, 'peer' | 'name' | 'start' | 'end' | 'local' | 'link'> & {
    compute_ms: number
    queued_ms: number
  })[]
  /** Of the prompt: there already, from an earlier answer. */
  cached_tokens: number
  seed: number
  first_token_ms: number
  decode_ms: number
  tokens_per_second: number
  network_ms: number
  recoveries: { lost: RerouteEvent['lost']; replayed: number; elapsed_ms: number }[]
}

/** Collects it. */
export class Course {
  readonly #recoveries: FlambeauView['recoveries'] = []

  rerouted({ lost, replayed, elapsedMs }: RerouteEvent): void {
    this.#recoveries.push({ lost, replayed, elapsed_ms: rounded(elapsedMs) })
  }

  view({
    stages,
    cachedTokens,
    seed,
    firstTokenMs,
    decodeMs,
    tokensPerSecond,
    networkMs
  }: GenerateStats): FlambeauView {
    return {
      route: stages.map(({ computeMs, queuedMs, ...stage }) => ({
        ...{ ...stage, compute_ms: rounded(computeMs), queued_ms: rounded(queuedMs) }
      })),
      cached_tokens: cachedTokens,
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
