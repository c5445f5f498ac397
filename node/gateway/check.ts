import type { z } from 'zod'
import { badRequest, GatewayError } from './errors.js'

/**
 * A body that fits its schema. A field that is null counts as absent, as clients of OpenAI's interface expect.
 * @throws GatewayError UNSUPPORTED_FIELD, BAD_REQUEST, with the first field that is wrong
 */
export function checked<Schema extends z.ZodType>(schema: Schema, body: unknown): z.output<Schema> {
  const result = schema.safeParse(withoutNulls(body))
  if (result.success) return result.data
  const [issue] = result.error.issues
  if (issue === undefined) throw badRequest('The request is not understood.')
  const path = issue.path.join('.')
  if (issue.code === 'unrecognized_keys') {
    const param = [path, issue.keys[0]].filter(part => part !== '').join('.')
    throw new GatewayError(
      'UNSUPPORTED_FIELD',
      `\`${param}\` is not supported here. Leave it out: docs/api.md lists what is supported.`,
      { details: { param } }
    )
  }
  if (path === '') throw badRequest(`The body is not understood: ${issue.message}.`)
  throw badRequest(`\`${path}\` is not understood: ${issue.message}.`, path)
}

function withoutNulls(body: unknown): unknown {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) return body
  return Object.fromEntries(Object.entries(body).filter(([, value]) => value !== null))
}
