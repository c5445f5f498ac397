import type { Logger } from '../logger.js'
import type { Answering } from './answering.js'
import type { Caller } from './authorization.js'
import type { Running } from './running.js'

/** What the endpoints of an interface are made of. */
export interface EndpointParts {
  /** What the caller of a request may ask. @throws GatewayError INVALID_KEY */
  serviceFor: (caller: Caller | undefined) => Answering
  running: Running
  logger: Pick<Logger, 'error'>
}
