import type { Failure } from '../errors.js'

/** An error in Ollama's shape. */
export function errorBody({ message }: Pick<Failure, 'message'>): { error: string } {
  return { error: message }
}
