import type { AddressInfo } from 'node:net'
import { fastify, type FastifyInstance } from 'fastify'
import { ControlError } from '../control/errors.js'
import type { ControlService } from '../control/service.js'
import type { Logger } from '../logger.js'
import { resolveModel } from '../pipeline/catalogue.js'
import { SwarmError } from '../swarm/errors.js'
import { Access, preflightHeaders } from './access.js'
import { checked } from './check.js'
import * as limits from './constants.js'
import { errorHandler, refusePath } from './failing.js'
import { addOllama } from './ollama/endpoints.js'
import { askedForChat, ChatForm } from './openai/chat.js'
import { askedForCompletion, CompletionForm } from './openai/completions.js'
import { Completion } from './openai/endpoint.js'
import { errorBody } from './openai/error-body.js'
import { modelObject } from './openai/models.js'
import { chatRequest, completionRequest } from './openai/schemas.js'
import { refuseRaw } from './raw-errors.js'
import { Running } from './running.js'
import { eventStream } from './sse.js'
import { Turns } from './turns.js'
import type { GatewaySettings } from './types.js'

export interface GatewayParts {
  service: Pick<ControlService, 'generate' | 'models'>
  logger: Pick<Logger, 'info' | 'warn' | 'error' | 'debug'>
}

const LOOPBACK = '127.0.0.1'

/** The HTTP interface for other people's programs: OpenAI's, and Ollama's. */
export class Gateway {
  readonly #parts: GatewayParts
  readonly #settings: GatewaySettings
  readonly #turns: Turns
  readonly #running = new Running()
  #app: FastifyInstance | undefined
  #url: string | undefined

  constructor(parts: GatewayParts, settings: GatewaySettings) {
    this.#parts = parts
    this.#settings = settings
    this.#turns = new Turns(parts)
  }

  /** Where it is reached, such as http://127.0.0.1:27471; undefined where it is not. */
  get url(): string | undefined {
    return this.#url
  }

  /** @throws SwarmError PORT_TAKEN, ADDRESS_INVALID */
  async start(): Promise<void> {
    const { listen } = this.#settings
    if (listen === 'none' || this.#app !== undefined) return
    const { host, port } = listen === 'auto' ? { host: LOOPBACK, port: limits.DEFAULT_PORT } : listen
    const app = this.#build(host)
    this.#app = app
    try {
      await app.listen({ host, port })
    } catch (error) {
      if (listen !== 'auto' || !isTaken(error)) throw cannotListen(error, { host, port })
      this.#parts.logger.warn({ port }, 'the usual port of the gateway is taken: it uses another one')
      await app.listen({ host, port: 0 })
    }
    const address = app.server.address() as AddressInfo
    this.#url = `http://${address.family === 'IPv6' ? `[${address.address}]` : address.address}:${address.port}`
  }

  /** Answers that are under way end with an error. */
  async stop(): Promise<void> {
    const app = this.#app
    if (app === undefined) return
    this.#app = undefined
    this.#url = undefined
    await this.#running.stop(new ControlError('STOPPING', 'This node is stopping.'))
    await app.close()
  }

  #build(host: string): FastifyInstance {
    const access = new Access({ host, origins: this.#settings.origins })
    const fail = errorHandler(this.#parts.logger, errorBody)
    const app = fastify({
      bodyLimit: limits.MAX_BODY_BYTES,
      forceCloseConnections: true,
      requestTimeout: limits.REQUEST_MS,
      keepAliveTimeout: limits.IDLE_MS,
      http: { maxHeaderSize: limits.MAX_HEADER_BYTES, headersTimeout: limits.HEADERS_MS },
      clientErrorHandler: refuseRaw,
      // A path that is none.
      frameworkErrors: (error, request, reply) => void fail(error, request, reply)
    })
    app.server.maxConnections = limits.MAX_CONNECTIONS
    // A page of another site may send plain text without asking first.
    app.removeContentTypeParser('text/plain')
    app.setErrorHandler(fail)
    app.setNotFoundHandler(refusePath)
    app.addHook('onResponse', async ({ method, routeOptions }, { statusCode, elapsedTime }) => {
      const facts = { method, path: routeOptions.url, status: statusCode, ms: Math.round(elapsedTime) }
      if (method === 'POST') this.#parts.logger.info(facts, 'request')
      else this.#parts.logger.debug(facts, 'request')
    })
    app.addHook('onRequest', async (request, reply) => {
      const headers = access.check(request.headers)
      reply.headers(headers)
      if (request.method !== 'OPTIONS') return
      const asked = request.headers['access-control-request-headers']
      await reply.headers(preflightHeaders(asked)).code(204).send()
    })
    this.#addOpenAi(app)
    addOllama(app, { ...this.#parts, turns: this.#turns, running: this.#running })
    return app
  }

  #addOpenAi(app: FastifyInstance): void {
    const { service } = this.#parts
    const stream = eventStream(errorBody)
    app.get('/v1/models', async () => ({ object: 'list', data: (await service.models()).map(modelObject) }))
    app.get<{ Params: { model: string } }>('/v1/models/:model', async ({ params }) =>
      modelObject(resolveModel(await service.models(), params.model))
    )
    app.post('/v1/chat/completions', async ({ body }, reply) => {
      const request = checked(chatRequest, body)
      const completion = new Completion(this.#turns, new ChatForm(), { request, asked: askedForChat(request) })
      return this.#running.answer(reply, completion, request.stream === true ? stream : undefined)
    })
    app.post('/v1/completions', async ({ body }, reply) => {
      const request = checked(completionRequest, body)
      const form = new CompletionForm(request)
      const completion = new Completion(this.#turns, form, { request, asked: askedForCompletion(request) })
      return this.#running.answer(reply, completion, request.stream === true ? stream : undefined)
    })
  }
}

function isTaken(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === 'EADDRINUSE'
}

function cannotListen(error: unknown, { host, port }: { host: string; port: number }): SwarmError {
  const cause = error as NodeJS.ErrnoException
  const code = isTaken(error) ? 'PORT_TAKEN' : 'ADDRESS_INVALID'
  const what = isTaken(error) ? 'is taken' : `cannot be used (${cause.message})`
  return new SwarmError(code, `The gateway's address ${host}:${port} ${what}. Choose another one with --gateway.`, {
    details: { host, port },
    cause
  })
}
