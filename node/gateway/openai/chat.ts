import { TextDecoder } from 'node:util'
import type { GenerateEvent, GenerateRequest, LogprobView } from '../../control/contract.js'
import { samplingOf } from '../sampling.js'
import { carriedBy, repeated } from './answers.js'
import type { AnswerForm, Asked } from './endpoint.js'
import type { ChatRequest } from './schemas.js'

type TextEvent = Extract<GenerateEvent, { event: 'text' }>
type Logprobs = { content: object[]; refusal: null } | null

export function askedForChat(request: ChatRequest): Asked[] {
  const { model, messages, n = 1, max_completion_tokens, max_tokens, logprobs, top_logprobs = 0 } = request
  const generate: GenerateRequest = {
    model,
    messages: messages.map(({ role, content }) => ({
      role: role === 'developer' ? 'system' : role,
      content: typeof content === 'string' ? content : content.map(({ text }) => text).join('')
    })),
    sampling: samplingOf(request, {
      maxTokens: max_completion_tokens ?? max_tokens,
      logprobs: logprobs === true ? top_logprobs : undefined
    }),
    ...formatOf(request),
    ...carriedBy(request)
  }
  return repeated(generate, n).map(one => ({ prompt: 0, generate: one }))
}

function formatOf({ response_format: format }: ChatRequest): Pick<GenerateRequest, 'format'> {
  if (format === undefined || format.type === 'text') return {}
  return { format: { schema: format.type === 'json_object' ? { type: 'object' } : format.json_schema.schema } }
}

/** `chat.completion` and its chunks. */
export class ChatForm implements AnswerForm {
  readonly object = 'chat.completion'
  readonly chunkObject = 'chat.completion.chunk'
  readonly idPrefix = 'chatcmpl'

  opening(): object {
    return { delta: { role: 'assistant', content: '', refusal: null } }
  }

  delta(_asked: Asked, event: TextEvent): object {
    return { delta: { content: event.text }, logprobs: logprobsOf([event]) }
  }

  closing(): object {
    return { delta: {} }
  }

  whole(_asked: Asked, events: readonly TextEvent[]): object {
    const content = events.map(({ text }) => text).join('')
    return { message: { role: 'assistant', content, refusal: null }, logprobs: logprobsOf(events) }
  }
}

function logprobsOf(events: readonly TextEvent[]): Logprobs {
  const tokens = events.flatMap(({ logprobs = [] }) => logprobs)
  if (tokens.length === 0) return null
  const content = tokens.map(token => ({ ...tokenView(token), top_logprobs: token.top.map(tokenView) }))
  return { content, refusal: null }
}

function tokenView({ bytes, logprob }: LogprobView): { token: string; bytes: number[]; logprob: number } {
  return { token: textOf(bytes), bytes, logprob: finite(logprob) }
}

/** Half a character shows as the replacement character: `bytes` has what it is. */
export function textOf(bytes: readonly number[]): string {
  return new TextDecoder().decode(Uint8Array.from(bytes))
}

/** JSON has no infinity; OpenAI writes this for what is too unlikely to tell. */
export function finite(logprob: number): number {
  return Number.isFinite(logprob) ? logprob : -9999
}
