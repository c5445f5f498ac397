import { asError, CodedError } from '../../protocol/errors.js'
import type { ErrorView } from './contract.js'

export type ControlErrorCode =
  | 'ALREADY_RUNNING'
  | 'NOT_RUNNING'
  /** The socket cannot be created. */
  | 'CONTROL_SOCKET'
  /** The daemon went away in the middle of an answer. */
  | 'DAEMON_LOST'
  /** What came over the socket is not the control protocol, or of another version. */
  | 'DAEMON_PROTOCOL'
  | 'BAD_REQUEST'
  /** The daemon is stopping. */
  | 'STOPPING'

/** Something between a command and its daemon. */
export class ControlError extends CodedError<ControlErrorCode> {
  override name = 'ControlError'
}

/** An error that the daemon reported; `code` and `details` are the daemon's. */
export class RemoteError extends CodedError {
  override name = 'RemoteError'

  constructor({ code, message, details }: ErrorView) {
    super(code, message, { details })
  }
}

/** What crosses the socket of an error: no stack, no cause. */
export function errorView(caught: unknown): ErrorView {
  const error = asError(caught)
  if (isCoded(error)) return { code: error.code, message: error.message, details: error.details }
  if (error.name === 'AbortError') return { code: 'ABORTED', message: 'The request was cancelled.', details: {} }
  return { code: 'INTERNAL', message: error.message, details: {} }
}

/** `instanceof` alone leaves the code without a type. */
export function isCoded(error: unknown): error is CodedError {
  return error instanceof CodedError
}

/** Turns an `error` event into an exception. */
export async function* withoutErrorEvents<Event extends { event: string }>(
  events: AsyncIterable<Event>
): AsyncGenerator<Exclude<Event, { event: 'error' }>, void, undefined> {
  for await (const event of events) {
    if (isErrorEvent(event)) throw new RemoteError(event.error)
    yield event as Exclude<Event, { event: 'error' }>
  }
}

function isErrorEvent(event: { event: string }): event is { event: 'error'; error: ErrorView } {
  return event.event === 'error'
}
