/** From a request in Ollama's form to what the origin is asked. */
import type { GenerateRequest as Asked, SamplingRequest } from '../../control/contract.js'
import type { ChatMessage } from '../../engine/types.js'
import { badRequest } from '../errors.js'
import { samplingOf } from '../sampling.js'
import { checkTools, toolsOf } from '../tools.js'
import type { ChatRequest, GenerateRequest, Message, Options } from './schemas.js'

/** Undefined where there is nothing to answer: clients load a model like that. @throws GatewayError BAD_REQUEST */
export function askedForChat({ model, messages = [], options, tools, format }: ChatRequest): Asked | undefined {
  if (messages.length === 0) return undefined
  const asked: Asked = {
    model,
    messages: messages.map(messageOf),
    sampling: samplingBy(options),
    ...(tools && { tools: toolsOf(tools) }),
    ...formatOf(format)
  }
  checkTools(asked)
  return asked
}

/** Calls have no ids here; templates that show one get the place of the call. */
function messageOf({ role, content, tool_calls, tool_name, tool_call_id }: Message): ChatMessage {
  if (role === 'tool') return { role, content, toolCall: tool_call_id ?? tool_name ?? 'call_0' }
  if (role !== 'assistant' || tool_calls === undefined) return { role, content }
  const toolCalls = tool_calls.map(({ id, function: { name, arguments: given } }, place) => ({
    ...{ id: id ?? `call_${place}`, name, arguments: JSON.stringify(given) }
  }))
  return { role, content, toolCalls }
}

function formatOf(format: ChatRequest['format']): Pick<Asked, 'format'> {
  if (format === undefined) return {}
  return { format: { schema: format === 'json' ? { type: 'object' } : format } }
}

/** Undefined where there is nothing to answer. @throws GatewayError BAD_REQUEST */
export function askedForText(request: GenerateRequest): Asked | undefined {
  const { model, prompt = '', system = '', raw, options, format } = request
  if (prompt === '') return undefined
  const how = { sampling: samplingBy(options), ...formatOf(format) }
  if (raw !== true) {
    const messages = [...(system === '' ? [] : [{ role: 'system', content: system } as const])]
    return { model, messages: [...messages, { role: 'user', content: prompt }], ...how }
  }
  if (system !== '')
    throw badRequest('`system` and `raw` do not go together: a raw prompt is taken as it is.', 'system')
  return { model, prompt, raw, ...how }
}

function samplingBy({ num_predict, ...fields }: Options = {}): SamplingRequest {
  return samplingOf(fields, { maxTokens: num_predict })
}
