import { ServiceError } from './errors.js'
import type { ServiceFacts } from './types.js'

/**
 * Paths that can be written as one line of text.
 * @throws ServiceError SERVICE_PATH
 */
export function checkPaths(facts: ServiceFacts): ServiceFacts {
  for (const path of [facts.node, facts.entry, facts.home])
    if (/[\p{Cc}\u2028\u2029]/u.test(path)) throw unwritable(path, 'control characters and line breaks')
  return facts
}

export function unwritable(path: string, what: string): ServiceError {
  return new ServiceError(
    'SERVICE_PATH',
    `A service's file cannot have the path ${JSON.stringify(path)}, because of its ${what}. Use another folder.`,
    { details: { path } }
  )
}
