/** From a request in Ollama's form to what the origin is asked. */
import type { GenerateRequest as Asked, SamplingRequest } from '../../control/contract.js'
import { badRequest } from '../errors.js'
import { samplingOf } from '../sampling.js'
import type { ChatRequest, GenerateRequest, Options } from './schemas.js'

/** Undefined where there is nothing to answer: clients load a model like that. */
export function askedForChat({ model, messages = [], options }: ChatRequest): Asked | undefined {
  return messages.length === 0 ? undefined : { model, messages, sampling: samplingBy(options) }
}

/** Undefined where there is nothing to answer. @throws GatewayError BAD_REQUEST */
export function askedForText({ model, prompt = '', system = '', raw, options }: GenerateRequest): Asked | undefined {
  if (prompt === '') return undefined
  const sampling = samplingBy(options)
  if (raw !== true) {
    const messages = [...(system === '' ? [] : [{ role: 'system', content: system } as const])]
    return { model, messages: [...messages, { role: 'user', content: prompt }], sampling }
  }
  if (system !== '')
    throw badRequest('`system` and `raw` do not go together: a raw prompt is taken as it is.', 'system')
  return { model, prompt, raw, sampling }
}

function samplingBy({ num_predict, ...fields }: Options = {}): SamplingRequest {
  return samplingOf(fields, { maxTokens: num_predict })
}
