import type { ChatMessage, ToolCall } from '../../engine/types.js'
import type { Message } from './schemas.js'

/** Calls and results have ids seldom here, and some chat templates show them: they get those of their places. */
export function conversationOf(messages: readonly Message[]): ChatMessage[] {
  let turn = 0
  /** Of the last turn with calls, those that have no result yet. */
  let open: ToolCall[] = []
  return messages.map(({ role, content, tool_calls, tool_name, tool_call_id }): ChatMessage => {
    if (role === 'tool') {
      const call = open.find(({ id, name }) =>
        tool_call_id === undefined ? isNamed(name, tool_name) : id === tool_call_id
      )
      open = open.filter(other => other !== call)
      return { role, content, toolCall: tool_call_id ?? call?.id ?? tool_name ?? '' }
    }
    if (role !== 'assistant' || tool_calls === undefined) return { role, content }
    const toolCalls = tool_calls.map(({ id, function: { name, arguments: given } }, place) => ({
      ...{ id: id ?? `call_${turn}_${place}`, name, arguments: JSON.stringify(given) }
    }))
    turn++
    open = toolCalls
    return { role, content, toolCalls }
  })
}

/** Without a name the results are in the order of the calls. */
function isNamed(name: string, wanted: string | undefined): boolean {
  return wanted === undefined || name === wanted
}
