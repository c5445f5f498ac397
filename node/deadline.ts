import { CodedError } from '../protocol/errors.js'

/** A wait had a limit and reached it. */
export class DeadlineError extends CodedError<'DEADLINE'> {
  override name = 'DeadlineError'

  constructor(what: string, milliseconds: number) {
    super('DEADLINE', `${what} took longer than ${milliseconds} ms`, { details: { what, milliseconds } })
  }
}

export interface Deadline extends Disposable {
  signal: AbortSignal
}

/**
 * A signal that aborts after `milliseconds`, or when `parent` does. Dispose it as soon as the wait is over:
 * `using limit = deadline('dialling', 5_000, signal)`. (`AbortSignal.any` over a long-lived signal leaks in Node,
 * nodejs/node#54614, and `AbortSignal.timeout` ignores fake clocks.)
 */
export function deadline(what: string, milliseconds: number, parent?: AbortSignal): Deadline {
  const controller = new AbortController()
  const onAbort = (): void => controller.abort(parent?.reason)
  const timer = setTimeout(() => controller.abort(new DeadlineError(what, milliseconds)), milliseconds)
  if (parent?.aborted) onAbort()
  else parent?.addEventListener('abort', onAbort, { once: true })
  return {
    signal: controller.signal,
    [Symbol.dispose]() {
      clearTimeout(timer)
      parent?.removeEventListener('abort', onAbort)
    }
  }
}

/** Rejects when `signal` aborts, whatever `promise` does. */
export async function abortable<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  promise.catch(() => undefined) // may fail after the wait is over
  signal.throwIfAborted()
  const { promise: aborted, reject } = Promise.withResolvers<never>()
  const onAbort = (): void => reject(signal.reason as Error)
  signal.addEventListener('abort', onAbort, { once: true })
  try {
    return await Promise.race([promise, aborted])
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}

/** Rejects with the signal's reason when it aborts. */
export async function delay(milliseconds: number, signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<undefined>()
  const timer = setTimeout(() => resolve(undefined), milliseconds)
  try {
    await abortable(promise, signal)
  } finally {
    clearTimeout(timer)
  }
}
