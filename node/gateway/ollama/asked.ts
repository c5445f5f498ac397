/** From a request in Ollama's form to what the origin is asked. */
import type { GenerateRequest as Asked, SamplingRequest } from '../../control/contract.js'
import { badRequest } from '../errors.js'
import { samplingOf } from '../sampling.js'
import { checkTools, toolsOf } from '../tools.js'
import { conversationOf } from './conversation.js'
import type { ChatRequest, GenerateRequest, Options } from './schemas.js'

/** Undefined where there is nothing to answer: clients load a model like that. @throws GatewayError BAD_REQUEST */
export function askedForChat({ model, messages = [], options, tools, format }: ChatRequest): Asked | undefined {
  if (messages.length === 0) return undefined
  const asked: Asked = {
    model,
    messages: conversationOf(messages),
    sampling: samplingBy(options),
    ...(tools && { tools: toolsOf(tools) }),
    ...formatOf(format)
  }
  checkTools(asked)
  return asked
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
