import type { FastifyInstance } from 'fastify'
import { resolveModel } from '../../pipeline/catalogue.js'
import { checked } from '../check.js'
import type { EndpointParts } from '../endpoint-parts.js'
import { eventStream } from '../sse.js'
import { askedForChat, ChatForm } from './chat.js'
import { askedForCompletion, CompletionForm } from './completions.js'
import { embeddings } from './embeddings.js'
import { embeddingRequest } from './embedding-schema.js'
import { Completion } from './endpoint.js'
import { errorBody } from './error-body.js'
import { modelObject } from './models.js'
import { chatRequest, completionRequest } from './schemas.js'

/** OpenAI's interface, below `/v1`. */
export function addOpenAi(app: FastifyInstance, { serviceFor, running }: EndpointParts): void {
  const stream = eventStream(errorBody)
  app.get('/v1/models', async ({ caller }) => {
    const models = await serviceFor(caller).models()
    return { object: 'list', data: models.map(modelObject) }
  })
  app.get<{ Params: { model: string } }>('/v1/models/:model', async ({ params, caller }) =>
    modelObject(resolveModel(await serviceFor(caller).models(), params.model))
  )
  app.post('/v1/chat/completions', async ({ body, caller }, reply) => {
    const service = serviceFor(caller)
    const request = checked(chatRequest, body)
    const completion = new Completion(service, new ChatForm(request), { request, asked: askedForChat(request) })
    return running.answer(reply, completion, request.stream === true ? stream : undefined)
  })
  app.post('/v1/completions', async ({ body, caller }, reply) => {
    const service = serviceFor(caller)
    const request = checked(completionRequest, body)
    const form = new CompletionForm(request)
    const completion = new Completion(service, form, { request, asked: askedForCompletion(request) })
    return running.answer(reply, completion, request.stream === true ? stream : undefined)
  })
  app.post('/v1/embeddings', async ({ body, caller }, reply) => {
    const service = serviceFor(caller)
    const request = checked(embeddingRequest, body)
    return running.whole(reply, async signal => embeddings(service, request, signal))
  })
}
