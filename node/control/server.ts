import { chmodSync, lstatSync, rmSync } from 'node:fs'
import { fastify, type FastifyError, type FastifyInstance, type FastifyReply } from 'fastify'
import type { z } from 'zod'
import { asError, CodedError } from '../../protocol/errors.js'
import { abortable, deadline } from '../deadline.js'
import type { Logger } from '../logger.js'
import { connectToDaemon } from './client.js'
import type { StopRequest } from './contract.js'
import { ControlError, errorView } from './errors.js'
import { sendEvents } from './event-stream.js'
import { MAX_REQUEST_BYTES, MAX_STREAMS, STOP_MS } from './limits.js'
import {
  generateRequest,
  MAX_SHORT,
  modelParameters,
  pauseRequest,
  planRequest,
  shareRequest,
  stopRequest
} from './schemas.js'
import type { ControlService } from './service.js'

export interface ControlServerCollaborators {
  service: ControlService
  /** Who answers instead of the service itself. */
  answers?: Pick<ControlService, 'generate'>
  logger: Pick<Logger, 'debug' | 'error'>
}

export interface ControlServerSettings {
  /** Path of the Unix socket, or name of the pipe on Windows. */
  controlSocket: string
}

interface OpenStream {
  controller: AbortController
  ended: Promise<void>
}

/** Serves a `ControlService` on the home's socket; at most one server a socket. */
export class ControlServer {
  readonly #service: ControlService
  readonly #answers: Pick<ControlService, 'generate'>
  readonly #logger: ControlServerCollaborators['logger']
  readonly #controlSocket: string
  readonly #streams = new Set<OpenStream>()
  #app: FastifyInstance | undefined

  constructor(
    { service, answers = service, logger }: ControlServerCollaborators,
    { controlSocket }: ControlServerSettings
  ) {
    this.#service = service
    this.#answers = answers
    this.#logger = logger
    this.#controlSocket = controlSocket
  }

  /** Throws `ControlError`: `ALREADY_RUNNING` with the other daemon's pid, or `CONTROL_SOCKET`. */
  async start(): Promise<void> {
    if (this.#app !== undefined) return
    await this.#claimSocket()
    const app = this.#build()
    try {
      await app.listen({ path: this.#controlSocket })
      if (process.platform !== 'win32') chmodSync(this.#controlSocket, 0o600)
    } catch (error) {
      await app.close()
      throw this.#cannotListen(error)
    }
    this.#app = app
  }

  /** Ends open streams with the error `STOPPING`, then closes and removes the socket. */
  async stop(): Promise<void> {
    const app = this.#app
    if (app === undefined) return
    this.#app = undefined
    const reason = new ControlError('STOPPING', 'The daemon is stopping.')
    for (const { controller } of this.#streams) controller.abort(reason)
    using limit = deadline('ending the streams', STOP_MS)
    const ended = Promise.allSettled(Array.from(this.#streams, stream => stream.ended))
    await abortable(ended, limit.signal).catch((error: unknown) =>
      this.#logger.debug({ err: error }, 'streams cut off')
    )
    await app.close()
  }

  /** A socket file that nobody listens on is left from a daemon that was killed. */
  async #claimSocket(): Promise<void> {
    const other = await connectToDaemon({ controlSocket: this.#controlSocket })
    if (other !== undefined) {
      const pid = await other.status().then(
        status => status.pid,
        () => undefined
      )
      throw alreadyRunning(this.#controlSocket, pid)
    }
    if (process.platform === 'win32') return
    const found = lstatSync(this.#controlSocket, { throwIfNoEntry: false })
    if (found?.isSocket()) rmSync(this.#controlSocket, { force: true })
  }

  #cannotListen(caught: unknown): ControlError {
    const error = asError(caught) as NodeJS.ErrnoException
    if (error.code === 'EADDRINUSE' && process.platform === 'win32')
      return alreadyRunning(this.#controlSocket, undefined)
    return new ControlError(
      'CONTROL_SOCKET',
      `The control socket ${this.#controlSocket} cannot be created (${error.message}). Remove what is there, or choose another FLAMBEAU_HOME.`,
      { details: { controlSocket: this.#controlSocket }, cause: error }
    )
  }

  #build(): FastifyInstance {
    const service = this.#service
    const app = fastify({
      ...{ bodyLimit: MAX_REQUEST_BYTES, forceCloseConnections: true },
      routerOptions: { maxParamLength: MAX_SHORT }
    })
    app.setErrorHandler<FastifyError>((error, _request, reply) => this.#refuse(error, reply))
    app.setNotFoundHandler(request => {
      throw badRequest(`there is no ${request.method} ${request.url}`)
    })
    app.get('/v1/status', () => service.status())
    app.get('/v1/peers', () => service.peers())
    app.get('/v1/models', () => service.models())
    app.post('/v1/plan', request => service.plan(check(planRequest, request.body)))
    app.get('/v1/estimates', () => service.estimates())
    app.post('/v1/invite', () => service.invite())
    app.delete('/v1/models/:model', request => service.remove(check(modelParameters, request.params).model))
    app.post('/v1/pause', request => service.pause(check(pauseRequest, request.body)))
    app.post('/v1/resume', () => service.resume())
    app.post('/v1/stop', (request, reply) => this.#stopDaemon(check(stopRequest, request.body), reply))
    app.post('/v1/share', (request, reply) => {
      const body = check(shareRequest, request.body)
      return this.#stream(reply, signal => service.share(body, { signal }))
    })
    app.post('/v1/generate', (request, reply) => {
      const body = check(generateRequest, request.body)
      return this.#stream(reply, signal => this.#answers.generate(body, { signal }))
    })
    return app
  }

  /** Answers first: stopping closes the connection. */
  #stopDaemon(body: StopRequest, reply: FastifyReply): FastifyReply {
    reply.raw.once('finish', () => {
      this.#service.stop(body).catch((error: unknown) => this.#logger.error({ err: error }, 'stopping failed'))
    })
    return reply.send({})
  }

  async #stream(reply: FastifyReply, open: (signal: AbortSignal) => AsyncIterable<object>): Promise<void> {
    if (this.#streams.size >= MAX_STREAMS) throw badRequest(`more than ${MAX_STREAMS} requests at a time`)
    const controller = new AbortController()
    reply.hijack()
    reply.raw.once('close', () => controller.abort(new CodedError('ABORTED', 'The client went away.')))
    const ended = sendEvents(reply.raw, open(controller.signal), { signal: controller.signal })
    const stream = { controller, ended }
    this.#streams.add(stream)
    await ended.finally(() => this.#streams.delete(stream))
  }

  #refuse(error: FastifyError, reply: FastifyReply): FastifyReply {
    if (error instanceof CodedError) {
      const status = error.code === 'BAD_REQUEST' ? 400 : 422
      return reply.code(status).send({ error: errorView(error) })
    }
    // Fastify's own refusals: not JSON, too large, wrong content type.
    if (error.statusCode !== undefined && error.statusCode < 500) {
      return reply.code(error.statusCode).send({ error: errorView(badRequest(error.message)) })
    }
    this.#logger.error({ err: error }, 'control request failed')
    return reply.code(500).send({ error: errorView(error) })
  }
}

function check<Schema extends z.ZodType>(schema: Schema, value: unknown): z.output<Schema> {
  const result = schema.safeParse(value)
  if (result.success) return result.data
  const issues = result.error.issues.map(issue =>
    [issue.path.join('.'), issue.message].filter(part => part !== '').join(': ')
  )
  throw badRequest(issues.join('; '))
}

function badRequest(why: string): ControlError {
  return new ControlError('BAD_REQUEST', `The request is not understood: ${why}.`)
}

function alreadyRunning(controlSocket: string, pid: number | undefined): ControlError {
  const which = pid === undefined ? '' : ` (process ${pid})`
  return new ControlError(
    'ALREADY_RUNNING',
    `A daemon already runs on this home${which}. Use it, stop it with \`flambeau down\`, or choose another FLAMBEAU_HOME.`,
    { details: { pid, controlSocket } }
  )
}
