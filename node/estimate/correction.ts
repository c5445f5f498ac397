/** What earlier answers say of an estimate. Pure. */
import { LEAST, MOST_CORRECTION, NEWEST } from './constants.js'
import type { Estimate } from './cost.js'

/** What an answer was estimated to take, uncorrected, and what it took. Seconds. */
export interface Experience {
  route: RouteKind
  estimated: Estimate
  /** A token: 0 where there were too few to tell. */
  measured: Estimate
}

/** Routes of one kind are off in the same way. */
export interface RouteKind {
  /** Of the model, hex. */
  manifest: string
  stages: number
  /** Between machines. */
  ways: number
}

export interface Corrected extends Estimate {
  /** Answers that corrected it; 0: it is as it was. */
  by: number
}

/** By the newest answers over routes of the kind. @param history oldest first */
export function corrected(raw: Estimate, kind: RouteKind, history: readonly Experience[]): Corrected {
  const alike = history.filter(({ route, measured }) => isSame(route, kind) && measured.token > 0).slice(-NEWEST)
  if (alike.length < LEAST) return { ...raw, by: 0 }
  const factor = (part: keyof Estimate): number =>
    clamped(median(alike.map(({ measured, estimated }) => measured[part] / estimated[part])))
  return {
    token: raw.token * factor('token'),
    prompt: raw.prompt * factor('prompt'),
    open: raw.open * factor('open'),
    by: alike.length
  }
}

/** Of how far estimates were from what came, in parts of that; 0 for none. */
export function medianError(pairs: readonly { estimated: number; measured: number }[]): number {
  return pairs.length === 0 ? 0 : median(pairs.map(pair => Math.abs(errorOf(pair))))
}

/** Above zero: too much was promised. */
export function errorOf({ estimated, measured }: { estimated: number; measured: number }): number {
  return estimated / measured - 1
}

function isSame(a: RouteKind, b: RouteKind): boolean {
  return a.manifest === b.manifest && a.stages === b.stages && a.ways === b.ways
}

function clamped(factor: number): number {
  return Math.min(MOST_CORRECTION, Math.max(1 / MOST_CORRECTION, factor))
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  const upper = sorted[middle] ?? 0
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? 0) + upper) / 2
}
