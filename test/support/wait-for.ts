import { setTimeout as sleep } from 'node:timers/promises'

export interface WaitOptions {
  /** What is waited for, for the error. */
  what?: string
  /** Milliseconds until it is given up; 10 s by default. */
  limit?: number
  /** Milliseconds between two looks; 20 by default. */
  interval?: number
  signal?: AbortSignal
}

/**
 * Looks until `condition` gives something other than false, null or undefined, and returns that. A throw counts as
 * "not yet"; the last one is the cause of the error at the limit.
 */
export async function waitFor<T>(
  condition: () => T | Promise<T>,
  { what = 'the condition', limit = 10_000, interval = 20, signal }: WaitOptions = {}
): Promise<NonNullable<Exclude<T, false>>> {
  const end = performance.now() + limit
  let cause: unknown
  for (;;) {
    signal?.throwIfAborted()
    try {
      const value = await condition()
      cause = undefined
      if (value !== false && value !== null && value !== undefined) return value as NonNullable<Exclude<T, false>>
    } catch (error) {
      cause = error
    }
    if (performance.now() >= end) throw new Error(`waited ${limit} ms for ${what} in vain`, { cause })
    await sleep(interval, undefined, signal && { signal })
  }
}
