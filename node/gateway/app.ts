/** The gateway's application: who may ask, what is logged, and the interfaces that it speaks. */
import { fastify, type FastifyInstance } from 'fastify'
import type { ControlService } from '../control/service.js'
import type { EmbeddingService } from '../pipeline/embedding-types.js'
import { Access, isLoopback, preflightHeaders, type AccessSettings } from './access.js'
import type { Answering } from './answering.js'
import { Authorization } from './authorization.js'
import * as limits from './constants.js'
import type { EndpointParts } from './endpoint-parts.js'
import { errorHandler, refusePath } from './failing.js'
import { addOllama } from './ollama/endpoints.js'
import { addOpenAi } from './openai/endpoints.js'
import { errorBody } from './openai/error-body.js'
import { addHealth } from './health.js'
import { FILE_PATHS } from './page/files.js'
import { addPage } from './page/page.js'
import { refuseRaw } from './raw-errors.js'
import type { Running } from './running.js'
import type { GatewayParts } from './server.js'

export interface AppParts extends GatewayParts {
  /** Answers in turn, counted where somebody watches. */
  turns: Pick<ControlService, 'generate'> & EmbeddingService
  running: Running
}

export function buildApp(parts: AppParts, settings: AccessSettings): FastifyInstance {
  const { service, keyring, health, page, logger, turns, running } = parts
  const fail = errorHandler(logger, errorBody)
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
  if (health !== undefined) addHealth(app, health)
  // A page of another site may send plain text without asking first.
  app.removeContentTypeParser('text/plain')
  app.setErrorHandler(fail)
  app.setNotFoundHandler(refusePath)
  logRequests(app, logger)
  const answering: Answering = {
    models: async () => service.models(),
    async *generate(request, options) {
      yield* turns.generate(request, options)
    },
    async *embed(request, options) {
      yield* turns.embed(request, options)
    }
  }
  const authorization = new Authorization({ keyring, service: answering }, { required: !isLoopback(settings.host) })
  guard(app, new Access(settings), authorization)
  const endpoints: EndpointParts = { serviceFor: caller => authorization.serviceFor(caller), running, logger }
  addOpenAi(app, endpoints)
  addOllama(app, endpoints)
  if (page !== undefined) addPage(app, page, logger)
  return app
}

/**
 * Whoever restarts nodes that do not answer has no key; that this one lives and takes part is no secret. Nor are the
 * page's files, which ask for the key.
 */
const OPEN: ReadonlySet<string> = new Set(['/healthz', '/readyz', ...FILE_PATHS])

/** Before anything else is looked at, the body included. */
function guard(app: FastifyInstance, access: Access, authorization: Authorization): void {
  app.decorateRequest('caller', undefined)
  app.addHook('onRequest', async (request, reply) => {
    const headers = access.check(request.headers)
    reply.headers(headers)
    if (request.method !== 'OPTIONS') {
      const isOpen = OPEN.has(request.routeOptions.url ?? '')
      if (!isOpen) request.caller = authorization.identify(request.headers)
      return
    }
    const asked = request.headers['access-control-request-headers']
    await reply.headers(preflightHeaders(asked)).code(204).send()
  })
}

/** One line each, without what was asked; `status` is absent where the client went away before there was one. */
function logRequests(app: FastifyInstance, logger: GatewayParts['logger']): void {
  app.addHook('onRequest', async (request, { raw }) => {
    const began = performance.now()
    // Comes also where the client goes away, unlike Fastify's own hook.
    raw.once('close', () => {
      const { method, routeOptions, caller } = request
      const key = caller?.kind === 'key' ? caller.name : undefined
      const status = raw.headersSent ? raw.statusCode : undefined
      const facts = { method, path: routeOptions.url, key, status, ms: Math.round(performance.now() - began) }
      if (method === 'POST') logger.info(facts, 'request')
      else logger.debug(facts, 'request')
    })
  })
}
