import type { GenerateEvent, LogprobView } from '../control/contract.js'
import type { Tokenizer } from '../engine/types.js'
import type { AnswerEvent } from './answer.js'
import type { Logprob } from './sampling.js'

type TextEvent = Extract<GenerateEvent, { event: 'text' }>

/** Tokens that were chosen and whose text is not whole yet: they are told together with it. */
export class Unsent {
  readonly #tokenizer: Pick<Tokenizer, 'bytesOf'>
  #tokens: number[] = []
  #logprobs: NonNullable<TextEvent['logprobs']> = []

  constructor(tokenizer: Pick<Tokenizer, 'bytesOf'>) {
    this.#tokenizer = tokenizer
  }

  get isEmpty(): boolean {
    return this.#tokens.length === 0
  }

  add({ token, logprobs }: Pick<Extract<AnswerEvent, { type: 'token' }>, 'token' | 'logprobs'>): void {
    this.#tokens.push(token)
    if (logprobs === undefined) return
    this.#logprobs.push({ ...this.#view(logprobs), top: logprobs.top.map(other => this.#view(other)) })
  }

  take(text: string): TextEvent {
    const [tokens, logprobs] = [this.#tokens, this.#logprobs]
    this.#tokens = []
    this.#logprobs = []
    return { event: 'text', text, tokens, ...(logprobs.length > 0 && { logprobs }) }
  }

  #view({ token, logprob }: Logprob): LogprobView {
    return { token, bytes: Array.from(this.#tokenizer.bytesOf(token)), logprob }
  }
}
