import { randomBytes } from 'node:crypto'
import { TextDecoder } from 'node:util'
import type { GenerateEvent, GenerateRequest, LogprobView } from '../../control/contract.js'
import type { ChatMessage } from '../../engine/types.js'
import { samplingOf } from '../sampling.js'
import { checkTools, toolsOf } from '../tools.js'
import { carriedBy, repeated } from './answers.js'
import type { AnswerForm, Asked } from './endpoint.js'
import type { ChatRequest } from './schemas.js'

type TextEvent = Extract<GenerateEvent, { event: 'text' }>
type CallEvent = Extract<GenerateEvent, { event: 'tool-call' }>
type Logprobs = { content: object[]; refusal: null } | null

/** @throws GatewayError BAD_REQUEST */
export function askedForChat(request: ChatRequest): Asked[] {
  const { model, messages, n = 1, max_completion_tokens, max_tokens, logprobs, top_logprobs = 0 } = request
  const generate: GenerateRequest = {
    model,
    messages: messages.map(messageOf),
    sampling: samplingOf(request, {
      maxTokens: max_completion_tokens ?? max_tokens,
      logprobs: logprobs === true ? top_logprobs : undefined
    }),
    ...wantedTools(request),
    ...formatOf(request),
    ...carriedBy(request)
  }
  checkTools(generate)
  return repeated(generate, n).map(one => ({ prompt: 0, generate: one }))
}

function messageOf(message: ChatRequest['messages'][number]): ChatMessage {
  const content = contentOf(message.content)
  switch (message.role) {
    case 'developer':
      return { role: 'system', content }
    case 'system':
    case 'user':
      return { role: message.role, content }
    case 'tool':
      return { role: 'tool', content, toolCall: message.tool_call_id }
    case 'assistant': {
      const toolCalls = (message.tool_calls ?? []).map(({ id, function: called }) => ({ id, ...called }))
      return { role: 'assistant', content, ...(toolCalls.length > 0 && { toolCalls }) }
    }
  }
}

function contentOf(content: ChatRequest['messages'][number]['content']): string {
  return typeof content === 'string' ? content : (content ?? []).map(({ text }) => text).join('')
}

function wantedTools({ tools = [], tool_choice: choice }: ChatRequest): Pick<GenerateRequest, 'tools' | 'toolChoice'> {
  const toolChoice = typeof choice === 'object' ? { name: choice.function.name } : choice
  return { ...(tools.length > 0 && { tools: toolsOf(tools) }), ...(toolChoice !== undefined && { toolChoice }) }
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
  readonly #most: number
  /** Calls of each choice so far. */
  readonly #calls = new Map<Asked, number>()

  constructor({ parallel_tool_calls: parallel = true }: Pick<ChatRequest, 'parallel_tool_calls'>) {
    this.#most = parallel ? Infinity : 1
  }

  opening(): object {
    return { delta: { role: 'assistant', content: '', refusal: null } }
  }

  delta(_asked: Asked, event: TextEvent): object {
    return { delta: { content: event.text }, logprobs: logprobsOf([event]) }
  }

  call(asked: Asked, event: CallEvent): object | undefined {
    const index = this.#calls.get(asked) ?? 0
    this.#calls.set(asked, index + 1)
    return index < this.#most ? { delta: { tool_calls: [{ index, ...callView(event) }] } } : undefined
  }

  closing(): object {
    return { delta: {} }
  }

  whole(_asked: Asked, texts: readonly TextEvent[], calls: readonly CallEvent[]): object {
    const content = texts.map(({ text }) => text).join('')
    const called = calls.slice(0, this.#most).map(callView)
    const message = { role: 'assistant', content: called.length > 0 && content === '' ? null : content, refusal: null }
    return { message: { ...message, ...(called.length > 0 && { tool_calls: called }) }, logprobs: logprobsOf(texts) }
  }
}

function callView({ name, arguments: json }: CallEvent): object {
  return { id: `call_${randomBytes(12).toString('hex')}`, type: 'function', function: { name, arguments: json } }
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
