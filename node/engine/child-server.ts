import { asError } from '../../protocol/errors.js'
import { EngineError } from './errors.js'
import type { CallMessage, Calls, ChildMessage, LogLevel, SentError } from './messages.js'

type Handlers<C extends Calls<C>> = {
  [K in keyof C]: (request: C[K]['request']) => C[K]['answer'] | Promise<C[K]['answer']>
}

/**
 * Answers the parent's calls in a forked child process, until the parent is gone or says goodbye by disconnecting.
 * Signals that a terminal or a service manager sends to the whole process group are left to the parent, which may need
 * this process to drain.
 */
export function serveCalls<C extends Calls<C>>(handlers: Handlers<C>): void {
  process.on('SIGINT', () => undefined)
  process.on('SIGTERM', () => undefined)
  process.on('disconnect', () => process.exit(0))
  const byName = new Map(Object.entries<AnyHandler>(handlers))
  process.on('message', (message: CallMessage) => void answer(message, byName.get(message.call)))
}

export function sendLog(level: LogLevel, message: string): void {
  send({ log: { level, message } })
}

type AnyHandler = (request: unknown) => unknown

async function answer({ id, call, request }: CallMessage, handler: AnyHandler | undefined): Promise<void> {
  try {
    if (handler === undefined) throw new Error(`unknown call ${call}`)
    send({ id, answer: await handler(request) })
  } catch (error) {
    send({ id, error: describe(error) })
  }
}

function describe(error: unknown): SentError {
  if (error instanceof EngineError) return { code: error.code, message: error.message, details: error.details }
  return { code: undefined, message: asError(error).stack ?? asError(error).message, details: {} }
}

function send(message: ChildMessage): void {
  // The callback takes the error of a channel that closed in the meantime: `disconnect` ends the process.
  if (process.connected) process.send?.(message, undefined, undefined, () => undefined)
}
