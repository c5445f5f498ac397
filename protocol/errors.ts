export interface CodedErrorOptions {
  /** Typed facts for programs: peer, layers, numbers. */
  details?: Record<string, unknown>
  cause?: unknown
}

/**
 * The root of every error that this project throws on purpose: a stable code for programs, a message for people that
 * says what happened and what to do. Nothing may match on the message.
 */
export class CodedError<Code extends string = string> extends Error {
  override name = 'CodedError'
  readonly code: Code
  readonly details: Record<string, unknown>

  constructor(code: Code, message: string, { details = {}, cause }: CodedErrorOptions = {}) {
    super(message, cause === undefined ? undefined : { cause })
    this.code = code
    this.details = details
  }
}

/** Normalises what a `catch` caught. */
export function asError(caught: unknown): Error {
  return caught instanceof Error ? caught : new Error(String(caught))
}
