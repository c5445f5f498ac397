import { ServiceError } from './errors.js'
import type { ServiceFacts } from './types.js'

/**
 * Paths that can be written as one line of text.
 * @throws ServiceError SERVICE_PATH
 */
export function checkPaths(facts: ServiceFacts): ServiceFacts {
  for (const [name, path] of Object.entries(facts) as [string, string][]) {
    if (!/[\p{Cc}\u2028\u2029]/u.test(path)) continue
    throw new ServiceError(
      'SERVICE_PATH',
      `The path ${JSON.stringify(path)} has a control character or a line break in it, which cannot stand in a service's file. Rename the folder.`,
      { details: { name, path } }
    )
  }
  return facts
}
