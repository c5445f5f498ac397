import type { GenerateStats, RouteStageView } from '../control/contract.js'
import type { StepAnswer } from './session-types.js'

/** Not the candidates: an answer may have many steps. */
type DecodeStep = Pick<StepAnswer, 'timings' | 'elapsed'>

/** Collects what an answer took. All times in milliseconds. */
export class AnswerStats {
  readonly #now: () => number
  readonly #started: number
  #firstToken: number | undefined
  #generated = 0
  #recoveries = 0
  /** Of the route as it is now. */
  #decodeSteps: DecodeStep[] = []
  #promptStarted = 0

  constructor(now: () => number) {
    this.#now = now
    this.#started = now()
  }

  /** The route is open and the prompt goes out. */
  promptSent(): void {
    this.#promptStarted = this.#now()
  }

  /** A token was chosen after this step. */
  token(step: StepAnswer): void {
    this.#generated++
    if (this.#firstToken === undefined) this.#firstToken = this.#now()
    else this.#decodeSteps.push({ timings: step.timings, elapsed: step.elapsed })
  }

  /** Its medians are those of the new route. */
  rerouted(): void {
    this.#recoveries++
    this.#decodeSteps = []
  }

  summary(facts: {
    promptTokens: number
    cachedTokens: number
    stages: RouteStageView[]
    seed: number
  }): GenerateStats {
    const now = this.#now()
    const firstToken = this.#firstToken ?? now
    const decodeMs = now - firstToken
    const steps = this.#decodeSteps
    const stages = facts.stages.map((stage, i) => ({
      ...stage,
      computeMs: median(steps.map(step => step.timings[i]?.computed ?? 0)),
      queuedMs: median(steps.map(step => step.timings[i]?.queued ?? 0))
    }))
    const network = (step: DecodeStep): number =>
      step.elapsed - step.timings.reduce((sum, { computed, queued }) => sum + computed + queued, 0)
    return {
      promptTokens: facts.promptTokens,
      cachedTokens: facts.cachedTokens,
      generatedTokens: this.#generated,
      firstTokenMs: firstToken - this.#started,
      promptMs: firstToken - this.#promptStarted,
      decodeMs,
      tokensPerSecond: this.#generated < 2 || decodeMs <= 0 ? 0 : ((this.#generated - 1) / decodeMs) * 1_000,
      stages,
      networkMs: median(steps.map(network)),
      seed: facts.seed,
      recoveries: this.#recoveries
    }
  }
}

function median(values: number[]): number {
  const sorted = values.sort((a, b) => a - b)
  return sorted[sorted.length >> 1] ?? 0
}
