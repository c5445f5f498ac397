import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { GenerateRequest } from '../../control/contract.js'
import { incompleteModel } from '../../pipeline/catalogue.js'
import { VERSION } from '../../version.js'
import { checked } from '../check.js'
import type { EndpointParts } from '../endpoint-parts.js'
import { badRequest } from '../errors.js'
import { errorHandler, refusePath } from '../failing.js'
import { lines } from '../ndjson.js'
import type { Running } from '../running.js'
import { chatForm, loaded, OllamaAnswer, partOf, textForm, type Form } from './answer.js'
import { askedForChat, askedForText } from './asked.js'
import { errorBody } from './error-body.js'
import { listedModel, runningModel, shownModel } from './models.js'
import { RememberedNames, TaggedModels } from './names.js'
import { chatRequest, generateRequest, showRequest, type ChatRequest } from './schemas.js'

/** What decides about the form of an answer; a stream, as with Ollama, unless the client says otherwise. */
type Wanted = Pick<ChatRequest, 'model' | 'stream'>

/** Ollama's interface, below `/api`, with errors in its shape. */
export function addOllama(app: FastifyInstance, parts: EndpointParts): void {
  const remembered = new RememberedNames()
  const of = ({ caller }: FastifyRequest): Endpoints =>
    new Endpoints(new TaggedModels({ service: parts.serviceFor(caller), remembered }), parts.running)
  const add = (api: FastifyInstance, _options: object, done: () => void): void => {
    api.setErrorHandler(errorHandler(parts.logger, errorBody))
    api.setNotFoundHandler(refusePath)
    api.get('/version', () => ({ version: VERSION }))
    api.get('/tags', async request => of(request).tags())
    api.get('/ps', async request => of(request).running())
    api.post('/show', async request => of(request).show(request.body))
    api.post('/chat', async (request, reply) => of(request).chat(request.body, reply))
    api.post('/generate', async (request, reply) => of(request).generate(request.body, reply))
    done()
  }
  void app.register(add, { prefix: '/api' })
}

/** For one caller. */
class Endpoints {
  readonly #models: TaggedModels
  readonly #running: Running

  constructor(models: TaggedModels, running: Running) {
    this.#models = models
    this.#running = running
  }

  async tags(): Promise<object> {
    return { models: (await this.#models.list()).map(listedModel) }
  }

  /** Those that somebody could be answered by now. */
  async running(): Promise<object> {
    const models = await this.#models.list()
    return { models: models.filter(({ complete }) => complete).map(runningModel) }
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
