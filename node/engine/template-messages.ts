/** Chat messages as chat templates expect them, and what templates say of tools: the conventions of Hugging Face's templates. */
import type { ChatMessage, ToolCall, ToolFormat } from './types.js'

/** With arguments as a value, since templates write them as JSON themselves. */
export function templateMessage(message: ChatMessage): object {
  switch (message.role) {
    case 'tool':
      return { role: 'tool', content: message.content, tool_call_id: message.toolCall }
    case 'assistant': {
      const { role, content, toolCalls = [] } = message
      return toolCalls.length === 0 ? { role, content } : { role, content, tool_calls: toolCalls.map(templateCall) }
    }
    case 'system':
    case 'user':
      return message
  }
}

function templateCall({ id, name, arguments: json }: ToolCall): object {
  return { id, type: 'function', function: { name, arguments: valueOf(json) } }
}

/** A model may have written something else. */
function valueOf(json: string): unknown {
  try {
    return JSON.parse(json)
  } catch {
    return json
  }
}

/** Other models write calls inside these tags in a way of their own. */
const NOT_JSON = ['<function=', '<arg_key>', '<parameter=']

/** Undefined where the template has no tools, or asks for them in a way that is not known here. */
export function toolFormatOf(template: string | undefined): ToolFormat | undefined {
  if (template === undefined || !/\btools\b/.test(template)) return undefined
  if (template.includes('<tool_call>')) return NOT_JSON.some(tag => template.includes(tag)) ? undefined : 'hermes'
  return template.includes('ipython') && template.includes('"parameters"') ? 'llama3' : undefined
}
