import type { AddressInfo } from 'node:net'
import { fastify, type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import { CodedError } from '../../protocol/errors.js'
import { ControlError } from '../control/errors.js'
import type { ControlService } from '../control/service.js'
import { abortable, deadline } from '../deadline.js'
import type { Logger } from '../logger.js'
import { resolveModel } from '../pipeline/catalogue.js'
import { SwarmError } from '../swarm/errors.js'
import { Access, preflightHeaders } from './access.js'
import { checked } from './check.js'
import * as limits from './constants.js'
import { failureOf, GatewayError } from './errors.js'
import { addHealth, type HealthParts } from './health.js'
import { askedForChat, ChatForm } from './openai/chat.js'
import { askedForCompletion, CompletionForm } from './openai/completions.js'
import { Completion } from './openai/endpoint.js'
import { errorBody } from './openai/error-body.js'
import { modelObject } from './openai/models.js'
import { chatRequest, completionRequest } from './openai/schemas.js'
import { EventStream } from './sse.js'
import { refuseRaw } from './raw-errors.js'
import { Turns } from './turns.js'
import type { GatewaySettings } from './types.js'

export interface GatewayParts {
  service: Pick<ControlService, 'generate' | 'models'>
  logger: Pick<Logger, 'info' | 'warn' | 'error' | 'debug'>
  /** Without it nobody can watch over the node, and nothing is counted. */
  health?: HealthParts
}

const LOOPBACK = '127.0.0.1'

/** The HTTP interface for other people's programs: OpenAI's. */
export class Gateway {
  readonly #parts: GatewayParts
  readonly #settings: GatewaySettings
  readonly #turns: Pick<ControlService, 'generate'>
  readonly #answers = new Map<AbortController, Promise<unknown>>()
  #app: FastifyInstance | undefined
  #url: string | undefined

  constructor(parts: GatewayParts, settings: GatewaySettings) {
    this.#parts = parts
    this.#settings = settings
    const turns = new Turns(parts)
    this.#turns = parts.health?.metrics.answersInTurn(turns) ?? turns
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
    const reason = new ControlError('STOPPING', 'This node is stopping.')
    for (const answer of this.#answers.keys()) answer.abort(reason)
    using limit = deadline('ending the answers', limits.STOP_MS)
    await abortable(Promise.allSettled(this.#answers.values()), limit.signal).catch(() => undefined) // cut off below
    await app.close()
  }

  #build(host: string): FastifyInstance {
    const access = new Access({ host, origins: this.#settings.origins })
    const app = fastify({
      bodyLimit: limits.MAX_BODY_BYTES,
      forceCloseConnections: true,
      requestTimeout: limits.REQUEST_MS,
      keepAliveTimeout: limits.IDLE_MS,
      http: { maxHeaderSize: limits.MAX_HEADER_BYTES, headersTimeout: limits.HEADERS_MS },
      clientErrorHandler: refuseRaw,
      // A path that is none.
      frameworkErrors: (error, request, reply) => void this.#fail(error, request, reply)
    })
    app.server.maxConnections = limits.MAX_CONNECTIONS
    if (this.#parts.health !== undefined) addHealth(app, this.#parts.health)
    // A page of another site may send plain text without asking first.
    app.removeContentTypeParser('text/plain')
    app.setErrorHandler((error, request, reply) => this.#fail(error, request, reply))
    app.setNotFoundHandler(request => {
      throw new GatewayError(
        'UNKNOWN_PATH',
        `There is no ${request.method} ${request.url} here; docs/api.md lists what is.`
      )
    })
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
    return app
  }

  #addOpenAi(app: FastifyInstance): void {
    const { service } = this.#parts
    app.get('/v1/models', async () => ({ object: 'list', data: (await service.models()).map(modelObject) }))
    app.get<{ Params: { model: string } }>('/v1/models/:model', async ({ params }) =>
      modelObject(resolveModel(await service.models(), params.model))
    )
    app.post('/v1/chat/completions', async ({ body }, reply) => {
      const request = checked(chatRequest, body)
      const completion = new Completion(this.#turns, new ChatForm(), { request, asked: askedForChat(request) })
      return this.#answer(completion, reply, request)
    })
    app.post('/v1/completions', async ({ body }, reply) => {
      const request = checked(completionRequest, body)
      const form = new CompletionForm(request)
      const completion = new Completion(this.#turns, form, { request, asked: askedForCompletion(request) })
      return this.#answer(completion, reply, request)
    })
  }

  /** A client that goes away frees every stage. */
  async #answer(
    completion: Completion,
    reply: FastifyReply,
    { stream }: { stream?: boolean | undefined }
  ): Promise<unknown> {
    const gone = new AbortController()
    const onClose = (): void => gone.abort(new CodedError('ABORTED', 'The client went away.'))
    reply.raw.once('close', onClose)
    const { signal } = gone
    const ended =
      stream === true ? completion.stream(() => openStream(reply, signal), signal) : completion.whole(signal)
    this.#answers.set(gone, ended)
    try {
      return await ended
    } finally {
      reply.raw.off('close', onClose)
      this.#answers.delete(gone)
    }
  }

  #fail(error: unknown, { method, url }: FastifyRequest, reply: FastifyReply): FastifyReply | undefined {
    const failure = failureOf(error)
    if (failure.code === 'internal') this.#parts.logger.error({ err: error, method, url }, 'a request failed')
    if (reply.raw.headersSent || reply.raw.destroyed) {
      reply.hijack()
      return undefined
    }
    if (failure.retryAfterSeconds !== undefined) reply.header('retry-after', String(failure.retryAfterSeconds))
    return reply.code(failure.status).send(errorBody(failure))
  }
}

/** From now on the answer is the stream's. */
function openStream(reply: FastifyReply, signal: AbortSignal): EventStream {
  reply.hijack()
  return new EventStream(reply.raw, signal, reply.getHeaders() as Record<string, string>)
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
