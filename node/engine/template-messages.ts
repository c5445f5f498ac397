/** Chat messages as chat templates expect them: the conventions of Hugging Face's templates. */
import { createHash } from 'node:crypto'
import type { ChatMessage, ToolCall, ToolFormat } from './types.js'

/** Arguments are a value, since templates write them as JSON themselves. */
export function templateMessage(message: ChatMessage, format?: ToolFormat): object {
  switch (message.role) {
    case 'tool':
      return {
        role: 'tool',
        content: resultFor(message.content, format),
        tool_call_id: idFor(message.toolCall, format)
      }
    case 'assistant': {
      const { role, content, toolCalls = [] } = message
      if (toolCalls.length === 0) return { role, content }
      return { role, content, tool_calls: toolCalls.map(call => templateCall(call, format)) }
    }
    case 'system':
    case 'user':
      return message
  }
}

function templateCall({ id, name, arguments: json }: ToolCall, format: ToolFormat | undefined): object {
  const value = valueOf(json)
  return {
    ...{ id: idFor(id, format), type: 'function' },
    function: { name, arguments: format === 'qwen3-coder' ? taggable(value) : value }
  }
}

/** The only ids that Mistral's templates take. */
const MISTRAL_ID = /^[a-zA-Z0-9]{9}$/

/** A call and its result keep the same one. */
function idFor(id: string, format: ToolFormat | undefined): string {
  const isMistral = format === 'mistral' || format === 'mistral-args'
  if (!isMistral || MISTRAL_ID.test(id)) return id
  return createHash('sha256').update(id).digest('hex').slice(0, 9)
}

/** Mistral's older templates put the result into an object as it is, and the models have seen JSON there. */
function resultFor(content: string, format: ToolFormat | undefined): string {
  return format === 'mistral' && parsed(content) === undefined ? JSON.stringify(content) : content
}

/** Each argument has tags of its own there: what is no object has none, and templates have no text for null. */
function taggable(value: unknown): object {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return {}
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, one ?? 'null']))
}

/** A model may have written something else. */
function valueOf(json: string): unknown {
  const value = parsed(json)
  return value === undefined ? json : value
}

/** Undefined where it is no JSON. */
function parsed(json: string): unknown {
  try {
    return JSON.parse(json) as unknown
  } catch {
    return undefined
  }
}
