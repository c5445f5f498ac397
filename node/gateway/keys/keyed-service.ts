import type { GenerateEvent, GenerateRequest, ModelView } from '../../control/contract.js'
import type { GenerateOptions } from '../../control/service.js'
import { answersTo, resolveModel } from '../../pipeline/catalogue.js'
import type { EmbedEvent, EmbedRequest } from '../../pipeline/embedding-types.js'
import type { Answering } from '../answering.js'
import { GatewayError } from '../errors.js'
import type { Key } from './key.js'
import type { Keyring } from './keyring.js'

/** What one key may ask: its models, as many tokens as it has left, and for as long as it is valid. */
export class KeyedService implements Answering {
  readonly #service: Answering
  readonly #keyring: Pick<Keyring, 'tokens' | 'underWay'>
  readonly #key: Key

  constructor({ service, keyring }: { service: Answering; keyring: Pick<Keyring, 'tokens' | 'underWay'> }, key: Key) {
    this.#service = service
    this.#keyring = keyring
    this.#key = key
  }

  async models(): Promise<ModelView[]> {
    const models = await this.#service.models()
    return models.filter(model => this.#key.models?.some(wanted => answersTo(model, wanted)) ?? true)
  }

  /** @throws GatewayError INVALID_KEY, MODEL_NOT_ALLOWED, TOKENS_EXHAUSTED; what the answer ends with */
  generate(request: GenerateRequest, options: GenerateOptions = {}): AsyncGenerator<GenerateEvent> {
    return this.#paid(request, options, (allowed, signal) =>
      this.#service.generate(allowed, { signal, caller: this.#key.hash })
    )
  }

  /** @throws the same; what the request ends with */
  embed(request: EmbedRequest, options: { signal?: AbortSignal } = {}): AsyncGenerator<EmbedEvent> {
    return this.#paid(request, options, (allowed, signal) => this.#service.embed(allowed, { signal }))
  }

  async *#paid<R extends { model: string }, E extends GenerateEvent | EmbedEvent>(
    request: R,
    { signal }: { signal?: AbortSignal },
    begin: (allowed: R, signal: AbortSignal) => AsyncGenerator<E>
  ): AsyncGenerator<E> {
    if (this.#left < 1) throw this.#exhausted()
    const allowed = await this.#allowed(request)
    using answer = this.#keyring.underWay(this.#key, signal)
    const events = begin(allowed, answer.signal)
    // Frees every stage although a reader that has stopped reading asks for nothing more.
    answer.signal.addEventListener('abort', () => void events.return(undefined).catch(() => undefined))
    const meter = new Meter()
    try {
      for await (const event of events) {
        const count = meter.newTokens(event)
        if (event.event === 'route' && count > this.#left) throw this.#exhausted()
        this.#keyring.tokens.add(this.#key.hash, count)
        if (event.event === 'text' && this.#left < 0) throw this.#exhausted()
        yield event
      }
    } catch (error) {
      answer.signal.throwIfAborted() // says why
      throw error
    }
    answer.signal.throwIfAborted()
  }

  /** Tokens; below zero where answers that were under way together have spent more than there were. */
  get #left(): number {
    const { hash, tokensPerDay = Infinity } = this.#key
    return tokensPerDay - this.#keyring.tokens.of(hash)
  }

  /** With the hash of the model in the place of its name, so that it is this very model that answers. */
  async #allowed<R extends { model: string }>(request: R): Promise<R> {
    const { models } = this.#key
    if (models === undefined) return request
    const { model: wanted } = request
    const mine = await this.models()
    if (mine.some(model => answersTo(model, wanted))) {
      return { ...request, model: resolveModel(mine, wanted).manifest }
    }
    // Not known now, but whatever answers to it may be used.
    if (models.some(model => model.toLowerCase() === wanted.toLowerCase())) return request
    const message = `This key may not use "${wanted}". It may use: ${models.join(', ')}.`
    throw new GatewayError('MODEL_NOT_ALLOWED', message, { details: { param: 'model', models } })
  }

  #exhausted(): GatewayError {
    const { tokensPerDay } = this.#key
    const retryAfterSeconds = this.#keyring.tokens.secondsLeft()
    const message = `This key has spent its ${tokensPerDay ?? 0} tokens of today, or what is left is too little for the prompt. The next day begins in ${retryAfterSeconds} s (UTC).`
    return new GatewayError('TOKENS_EXHAUSTED', message, { details: { tokensPerDay, retryAfterSeconds } })
  }
}

/** Counts the tokens of one answer as they come, whether it comes to its end or not. */
class Meter {
  #prompt = 0
  #generated = 0

  /** What an event adds. An answer that begins again with the same prompt adds no prompt. */
  newTokens(event: GenerateEvent | EmbedEvent): number {
    if (event.event === 'route') return this.#upTo({ prompt: event.promptTokens })
    if (event.event === 'text') return this.#upTo({ generated: this.#generated + event.tokens.length })
    if (event.event !== 'done') return 0
    // Those without text, such as the last one, are in the sum only.
    return this.#upTo({ prompt: event.stats.promptTokens, generated: event.stats.generatedTokens })
  }

  #upTo({ prompt = 0, generated = 0 }: { prompt?: number; generated?: number }): number {
    const before = this.#prompt + this.#generated
    this.#prompt = Math.max(this.#prompt, prompt)
    this.#generated = Math.max(this.#generated, generated)
    return this.#prompt + this.#generated - before
  }
}
