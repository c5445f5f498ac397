import type { GenerateEvent, GenerateRequest } from '../control/contract.js'
import { errorView } from '../control/errors.js'
import type { ControlOptions, ControlService, GenerateOptions } from '../control/service.js'
import type { EmbedEvent, EmbeddingService, EmbedRequest } from '../pipeline/embedding-types.js'
import type { Instruments } from './instruments.js'
import type { ModelNames } from './model-names.js'

/** Embeddings count as answers without text. */
export type Answers = Pick<ControlService, 'generate'> & EmbeddingService

/** How answers end that nobody wants any more. */
const CANCELLED: ReadonlySet<string> = new Set(['CANCELLED', 'ABORTED'])

export interface MeterParts {
  instruments: Instruments
  names: ModelNames
  /** Milliseconds, monotonic. */
  now: () => number
}

/** Counts what passes through on its way to whoever asked, and changes nothing. */
export class MeteredAnswers implements Answers {
  readonly #answers: Answers
  readonly #parts: MeterParts
  #running = 0

  constructor(answers: Answers, parts: MeterParts) {
    this.#answers = answers
    this.#parts = parts
  }

  /** Answers under way, those that wait for their turn too. */
  get running(): number {
    return this.#running
  }

  generate(request: GenerateRequest, options: GenerateOptions = {}): AsyncGenerator<GenerateEvent> {
    return this.#metered(request, options, () => this.#answers.generate(request, options))
  }

  embed(request: EmbedRequest, options: ControlOptions = {}): AsyncGenerator<EmbedEvent> {
    return this.#metered(request, options, () => this.#answers.embed(request, options))
  }

  async *#metered<E extends GenerateEvent | EmbedEvent>(
    { model }: { model: string },
    options: ControlOptions,
    begin: () => AsyncIterable<E>
  ): AsyncGenerator<E> {
    const { now } = this.#parts
    const meter = new AnswerMeter(this.#parts, model)
    this.#running++
    try {
      // While the reader is busy with an event, nothing is waited for.
      let asked = now()
      for await (const event of begin()) {
        meter.passed(event, now() - asked)
        yield event
        asked = now()
      }
    } catch (error) {
      meter.failed(options.signal?.aborted === true ? 'CANCELLED' : errorView(error).code)
      throw error
    } finally {
      this.#running--
      meter.ended()
    }
  }
}

/** One answer. */
class AnswerMeter {
  readonly #parts: MeterParts
  readonly #wanted: string
  #model: string | undefined
  /** Unless it comes to another end, its reader has left. */
  #outcome = 'cancelled'
  /** Milliseconds since the last text, or since the request. */
  #waited = 0
  #hasPrompt = false
  #hasText = false

  constructor(parts: MeterParts, wanted: string) {
    this.#parts = parts
    this.#wanted = wanted
  }

  /** @param waited milliseconds */
  passed(event: GenerateEvent | EmbedEvent, waited: number): void {
    this.#waited += waited
    if (event.event === 'route') this.#routed(event.promptTokens)
    if (event.event === 'text') this.#told(event.tokens.length)
    if (event.event === 'reroute') this.#rerouted(event)
    if (event.event === 'error') this.failed(event.error.code)
    if (event.event === 'done')
      this.#parts.instruments.cachedTokens.inc({ model: this.#label }, event.stats.cachedTokens)
    if (event.event === 'done' || event.event === 'vectors') this.#outcome = 'ok'
  }

  /** @param code of the error */
  failed(code: string): void {
    this.#outcome = CANCELLED.has(code) ? 'cancelled' : code
  }

  ended(): void {
    this.#parts.instruments.answers.inc({ model: this.#label, outcome: this.#outcome })
  }

  /** A model is known from its first route on, or not at all. */
  get #label(): string {
    return (this.#model ??= this.#parts.names.asked(this.#wanted))
  }

  /** Once an answer, although it may begin again in f32. */
  #routed(promptTokens: number): void {
    if (this.#hasPrompt) return
    this.#hasPrompt = true
    this.#parts.instruments.promptTokens.inc({ model: this.#label }, promptTokens)
  }

  #told(tokens: number): void {
    const { generatedTokens, firstToken, token } = this.#parts.instruments
    const model = this.#label
    if (tokens > 0) generatedTokens.inc({ model }, tokens)
    const seconds = this.#waited / 1_000
    this.#waited = 0
    if (!this.#hasText) firstToken.observe({ model }, seconds)
    else for (let i = 0; i < tokens; i++) token.observe({ model }, seconds / tokens)
    this.#hasText = true
  }

  #rerouted({ lost, elapsedMs }: Extract<GenerateEvent, { event: 'reroute' }>): void {
    const { recoveries, recovery } = this.#parts.instruments
    recoveries.inc({ cause: lost.some(({ reason }) => reason !== undefined) ? 'lost' : 'moved' })
    recovery.observe(elapsedMs / 1_000)
  }
}
