import { asError, CodedError } from '../../protocol/errors.js'
import { isCoded } from '../control/errors.js'
import { RETRY_AFTER_SECONDS } from './constants.js'

/**
 * - `BAD_REQUEST` not JSON, or a field with a wrong value; `details.param` names it
 * - `UNSUPPORTED_FIELD` a field that this gateway does not know or cannot honour
 * - `UNKNOWN_PATH` no such endpoint
 * - `WRONG_HOST` a name that is not this machine's: perhaps a page of another site that had its name point here
 * - `FOREIGN_ORIGIN` a page that may not use this gateway
 * - `OWNER_ONLY` what the page asks for the node's owner alone, from elsewhere or with a key
 * - `INVALID_KEY` no key where one is needed, or one that is unknown, expired or revoked
 * - `MODEL_NOT_ALLOWED` the key is for other models
 * - `RATE_LIMITED` more requests a minute than the key may
 * - `TOKENS_EXHAUSTED` more tokens a day than the key may
 * - `OVERLOADED` more answers than fit, or nobody had room for long
 */
export type GatewayErrorCode =
  | 'BAD_REQUEST'
  | 'UNSUPPORTED_FIELD'
  | 'UNKNOWN_PATH'
  | 'WRONG_HOST'
  | 'FOREIGN_ORIGIN'
  | 'OWNER_ONLY'
  | 'INVALID_KEY'
  | 'MODEL_NOT_ALLOWED'
  | 'RATE_LIMITED'
  | 'TOKENS_EXHAUSTED'
  | 'OVERLOADED'

/** A request over HTTP that is refused. */
export class GatewayError extends CodedError<GatewayErrorCode> {
  override name = 'GatewayError'
}

export function badRequest(message: string, param?: string): GatewayError {
  return new GatewayError('BAD_REQUEST', message, { details: { param } })
}

/** How a failure looks over HTTP. */
export interface Failure {
  status: number
  /** OpenAI's kind of error. */
  type: string
  /** OpenAI's code where it has one for this, else Flambeau's. */
  code: string
  message: string
  /** The request's field that is to blame. */
  param: string | null
  retryAfterSeconds: number | undefined
  details: Record<string, unknown>
}

type Kind = [status: number, type: string, code?: string]

const INVALID = 'invalid_request_error'
const SERVER = 'server_error'

/** By Flambeau's code; any other is a server's error. */
export const KINDS: Readonly<Record<string, Kind>> = {
  BAD_REQUEST: [400, INVALID],
  UNSUPPORTED_FIELD: [400, INVALID, 'unsupported_parameter'],
  EMPTY_PROMPT: [400, INVALID],
  NO_EMBEDDINGS: [400, INVALID],
  TOO_MANY_DIMENSIONS: [400, INVALID],
  TOO_MUCH_INPUT: [400, INVALID],
  TEXT_TOO_LONG: [400, INVALID],
  UNKNOWN_TOKEN: [400, INVALID],
  NO_TOOLS: [400, INVALID],
  BAD_SCHEMA: [400, INVALID],
  BAD_TEMPLATE: [400, INVALID],
  NO_TEMPLATE: [400, INVALID],
  TEMPLATE_TIMEOUT: [400, INVALID],
  AMBIGUOUS_MODEL: [400, INVALID],
  CONTEXT_EXCEEDED: [400, INVALID, 'context_length_exceeded'],
  INVALID_KEY: [401, INVALID, 'invalid_api_key'],
  MODEL_NOT_ALLOWED: [403, 'permission_error'],
  RATE_LIMITED: [429, 'requests', 'rate_limit_exceeded'],
  TOKENS_EXHAUSTED: [429, 'tokens'],
  WRONG_HOST: [403, 'permission_error'],
  FOREIGN_ORIGIN: [403, 'permission_error'],
  OWNER_ONLY: [403, 'permission_error'],
  UNKNOWN_MODEL: [404, INVALID, 'model_not_found'],
  UNKNOWN_PATH: [404, INVALID],
  OVERLOADED: [529, 'overloaded_error'],
  NO_ROUTE: [529, 'overloaded_error'],
  INCOMPLETE_MODEL: [503, SERVER],
  STAGE_LOST: [503, SERVER],
  STAGE_REFUSED: [503, SERVER],
  STAGE_FAULTY: [503, SERVER],
  STOPPING: [503, SERVER]
}
const RETRIED: ReadonlySet<number> = new Set([429, 503, 529])

/** What a client is told of an error. What nobody foresaw is not told: it may name files of this machine. */
export function failureOf(caught: unknown): Failure {
  const error = asError(caught)
  const status = statusOf(error)
  if (!isCoded(error) && status !== undefined) return failure([status, INVALID], 'BAD_REQUEST', error.message)
  if (!isCoded(error) || error.code === 'INTERNAL') {
    return failure([500, SERVER], 'INTERNAL', 'Something went wrong in this node; its log says what.')
  }
  return failure(KINDS[error.code] ?? [500, SERVER], error.code, error.message, error.details)
}

function failure(
  [status, type, code]: Kind,
  ownCode: string,
  message: string,
  { param, ...details }: Record<string, unknown> = {}
): Failure {
  return {
    ...{ status, type, code: code ?? ownCode.toLowerCase(), message, details },
    param: typeof param === 'string' ? param : null,
    retryAfterSeconds: RETRIED.has(status) ? secondsIn(details) : undefined
  }
}

/** Limits know when there is room again. */
function secondsIn({ retryAfterSeconds }: Record<string, unknown>): number {
  return typeof retryAfterSeconds === 'number' ? retryAfterSeconds : RETRY_AFTER_SECONDS
}

/** What a failure says next to its body. */
export function headersOf({ status, retryAfterSeconds }: Failure): Record<string, string> {
  return {
    ...(status === 401 && { 'www-authenticate': 'Bearer' }),
    ...(retryAfterSeconds !== undefined && { 'retry-after': String(retryAfterSeconds) })
  }
}

/** Fastify's own refusals: not JSON, too large, wrong content type. */
function statusOf(error: Error & { statusCode?: unknown }): number | undefined {
  const { statusCode } = error
  return typeof statusCode === 'number' && statusCode >= 400 && statusCode < 500 ? statusCode : undefined
}
