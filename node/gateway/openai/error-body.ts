import type { Failure } from '../errors.js'

/** An error in OpenAI's shape, with Flambeau's details next to it. */
export function errorBody({ message, type, param, code, details }: Failure): object {
  return { error: { message, type, param, code, flambeau: details } }
}
