import { CodedError } from '../../protocol/errors.js'

/**
 * - `SERVICE_UNSUPPORTED` this operating system has no service manager that we know
 * - `NO_SERVICE_MANAGER` its program is not there, or nothing answers it for this user
 * - `SERVICE_FOREIGN` the service's file was edited, or written by somebody else
 * - `SERVICE_PATH` a path that cannot stand in a service's file
 * - `SERVICE_FAILED` the service manager refused, or the service ended at once
 * - `NO_SERVICE` no service is installed
 */
export type ServiceErrorCode =
  'SERVICE_UNSUPPORTED' | 'NO_SERVICE_MANAGER' | 'SERVICE_FOREIGN' | 'SERVICE_PATH' | 'SERVICE_FAILED' | 'NO_SERVICE'

/** What goes wrong between the node and what starts it for good. */
export class ServiceError extends CodedError<ServiceErrorCode> {
  override name = 'ServiceError'
}
