import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Logger } from '../logger.js'
import { type Failure, failureOf, GatewayError, headersOf } from './errors.js'

type ErrorHandler = (error: unknown, request: FastifyRequest, reply: FastifyReply) => FastifyReply | undefined

/** Answers with what went wrong. @param bodyOf the shape of errors in an interface */
export function errorHandler(logger: Pick<Logger, 'error'>, bodyOf: (failure: Failure) => object): ErrorHandler {
  return (error, { method, url }, reply) => {
    const failure = failureOf(error)
    if (failure.code === 'internal') logger.error({ err: error, method, url }, 'a request failed')
    if (reply.raw.headersSent || reply.raw.destroyed) {
      reply.hijack()
      return undefined
    }
    return reply.code(failure.status).headers(headersOf(failure)).send(bodyOf(failure))
  }
}

/** @throws GatewayError UNKNOWN_PATH */
export function refusePath({ method, url }: FastifyRequest): never {
  throw new GatewayError('UNKNOWN_PATH', `There is no ${method} ${url} here; docs/api.md lists what is.`)
}
