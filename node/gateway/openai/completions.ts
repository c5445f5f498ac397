import type { GenerateEvent, GenerateRequest, LogprobView } from '../../control/contract.js'
import { badRequest } from '../errors.js'
import { samplingOf } from '../sampling.js'
import { carriedBy, repeated } from './answers.js'
import { finite, textOf } from './chat.js'
import type { AnswerForm, Asked } from './endpoint.js'
import { MAX_CHOICES } from '../constants.js'
import type { CompletionRequest } from './schemas.js'

type TextEvent = Extract<GenerateEvent, { event: 'text' }>

/** @throws GatewayError BAD_REQUEST */
export function askedForCompletion(request: CompletionRequest): Asked[] {
  const { model, prompt, n = 1, max_tokens, echo, logprobs } = request
  const prompts = typeof prompt === 'string' ? [prompt] : prompt
  if (prompts.length * n > MAX_CHOICES) {
    throw badRequest(`${prompts.length} prompts with ${n} answers each are more than ${MAX_CHOICES} answers.`, 'n')
  }
  if (echo === true && logprobs !== undefined) {
    throw badRequest('`echo` and `logprobs` do not go together here: the prompt has no probabilities.', 'echo')
  }
  const sampling = samplingOf(request, { maxTokens: max_tokens, logprobs })
  return prompts.flatMap((text, number) => {
    const generate: GenerateRequest = { model, prompt: text, raw: true, sampling, ...carriedBy(request) }
    return repeated(generate, n).map(one => ({ prompt: number, generate: one }))
  })
}

/** `text_completion`, whole and in chunks. */
export class CompletionForm implements AnswerForm {
  readonly object = 'text_completion'
  readonly chunkObject = 'text_completion'
  readonly idPrefix = 'cmpl'
  readonly #echo: boolean
  /** By choice: characters of text so far, which is where the next token begins. */
  readonly #offsets = new Map<Asked, number>()

  constructor({ echo = false }: Pick<CompletionRequest, 'echo'>) {
    this.#echo = echo
  }

  opening({ generate }: Asked): object | undefined {
    return this.#echo ? { text: generate.prompt ?? '', logprobs: null } : undefined
  }

  delta(asked: Asked, event: TextEvent): object {
    return { text: event.text, logprobs: this.#logprobs(asked, [event]) }
  }

  /** A text that is continued has no tools. */
  call(): undefined {
    return undefined
  }

  closing(): object {
    return { text: '', logprobs: null }
  }

  whole(asked: Asked, events: readonly TextEvent[]): object {
    const text = events.map(event => event.text).join('')
    return {
      text: `${this.#echo ? (asked.generate.prompt ?? '') : ''}${text}`,
      logprobs: this.#logprobs(asked, events)
    }
  }

  #logprobs(asked: Asked, events: readonly TextEvent[]): object | null {
    const tokens = events.flatMap(({ logprobs = [] }) => logprobs)
    if (tokens.length === 0) return null
    const texts = tokens.map(({ bytes }) => textOf(bytes))
    let offset = this.#offsets.get(asked) ?? 0
    const offsets = texts.map(text => (offset += text.length) - text.length)
    this.#offsets.set(asked, offset)
    return {
      tokens: texts,
      token_logprobs: tokens.map(({ logprob }) => finite(logprob)),
      top_logprobs: tokens.map(({ top }) => byText(top)),
      text_offset: offsets
    }
  }
}

function byText(top: readonly LogprobView[]): Record<string, number> {
  return Object.fromEntries(top.map(({ bytes, logprob }) => [textOf(bytes), finite(logprob)]))
}
