/** How far off estimates were. Pure. */
import type { AccuracyView, EstimateView } from '../control/plan.js'
import { medianError } from './correction.js'

/** What was told of an answer, and what came: tokens per second, or milliseconds. */
export interface Pair {
  estimated: number
  measured: number
}

export function accuracyOf(estimates: readonly EstimateView[]): AccuracyView {
  return {
    answers: estimates.length,
    tokensPerSecond: medianOf(estimates.map(rateOf)),
    firstToken: medianOf(estimates.map(firstTokenOf))
  }
}

/** Tokens per second. */
export function rateOf({ estimated, measured }: EstimateView): Pair {
  return { estimated: estimated.tokensPerSecond, measured: measured.tokensPerSecond }
}

/** Milliseconds to the first token. */
export function firstTokenOf({ estimated, measured }: EstimateView): Pair {
  return { estimated: estimated.firstTokenMs, measured: measured.firstTokenMs }
}

/** An answer that is too short tells no rate. */
export function isMeasured({ measured }: Pair): boolean {
  return measured > 0
}

function medianOf(pairs: readonly Pair[]): number | undefined {
  const known = pairs.filter(isMeasured)
  return known.length === 0 ? undefined : medianError(known)
}
