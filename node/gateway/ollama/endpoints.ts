import type { FastifyInstance, FastifyReply } from 'fastify'
import type { GenerateRequest } from '../../control/contract.js'
import type { ControlService } from '../../control/service.js'
import type { Logger } from '../../logger.js'
import { incompleteModel } from '../../pipeline/catalogue.js'
import { VERSION } from '../../version.js'
import { checked } from '../check.js'
import { badRequest } from '../errors.js'
import { errorHandler, refusePath } from '../failing.js'
import { lines } from '../ndjson.js'
import type { Running } from '../running.js'
import { chatForm, loaded, OllamaAnswer, partOf, textForm, type Form } from './answer.js'
import { askedForChat, askedForText } from './asked.js'
import { errorBody } from './error-body.js'
import { listedModel, shownModel } from './models.js'
import { TaggedModels } from './names.js'
import { chatRequest, generateRequest, showRequest, type ChatRequest } from './schemas.js'

export interface OllamaParts {
  service: Pick<ControlService, 'models'>
  turns: Pick<ControlService, 'generate'>
  running: Running
  logger: Pick<Logger, 'error'>
}

/** What decides about the form of an answer; a stream, as with Ollama, unless the client says otherwise. */
type Wanted = Pick<ChatRequest, 'model' | 'stream'>

/** Ollama's interface, below `/api`, with errors in its shape. */
export function addOllama(app: FastifyInstance, parts: OllamaParts): void {
  const endpoints = new Endpoints(parts)
  const add = (api: FastifyInstance, _options: object, done: () => void): void => {
    api.setErrorHandler(errorHandler(parts.logger, errorBody))
    api.setNotFoundHandler(refusePath)
    api.get('/version', () => ({ version: VERSION }))
    api.get('/tags', async () => endpoints.tags())
    api.post('/show', async ({ body }) => endpoints.show(body))
    api.post('/chat', async ({ body }, reply) => endpoints.chat(body, reply))
    api.post('/generate', async ({ body }, reply) => endpoints.generate(body, reply))
    done()
  }
  void app.register(add, { prefix: '/api' })
}

class Endpoints {
  readonly #models: TaggedModels
  readonly #running: Running

  constructor(parts: OllamaParts) {
    this.#models = new TaggedModels(parts)
    this.#running = parts.running
  }

  async tags(): Promise<object> {
    return { models: (await this.#models.list()).map(listedModel) }
  }

  /** @throws GatewayError BAD_REQUEST, UNSUPPORTED_FIELD; PipelineError UNKNOWN_MODEL, AMBIGUOUS_MODEL */
  async show(body: unknown): Promise<object> {
    const { model, name } = checked(showRequest, body)
    const wanted = model ?? name
    if (wanted === undefined) throw badRequest('`model` is missing: it says which one to show.', 'model')
    return shownModel(await this.#models.find(wanted))
  }

  async chat(body: unknown, reply: FastifyReply): Promise<unknown> {
    const request = checked(chatRequest, body)
    const asked = askedForChat(request)
    return asked === undefined ? this.#load(request, chatForm) : this.#answer(reply, request, { form: chatForm, asked })
  }

  async generate(body: unknown, reply: FastifyReply): Promise<unknown> {
    const request = checked(generateRequest, body)
    const asked = askedForText(request)
    return asked === undefined ? this.#load(request, textForm) : this.#answer(reply, request, { form: textForm, asked })
  }

  async #answer(
    reply: FastifyReply,
    { model, stream = true }: Wanted,
    { form, asked }: { form: Form; asked: GenerateRequest }
  ): Promise<unknown> {
    const format = lines({ idle: () => partOf(model, form, ''), failed: errorBody })
    return this.#running.answer(reply, new OllamaAnswer(this.#models, form, asked), stream ? format : undefined)
  }

  /** In one piece, as Ollama does. @throws PipelineError UNKNOWN_MODEL, AMBIGUOUS_MODEL, INCOMPLETE_MODEL */
  async #load({ model: wanted }: Wanted, form: Form): Promise<object> {
    const model = await this.#models.find(wanted)
    if (!model.complete) throw incompleteModel({ ...model, absent: [] })
    return loaded(wanted, form)
  }
}
