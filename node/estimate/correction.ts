/** What earlier answers say of an estimate. Pure. */
import { LEAST, MOST_SCALE, NEWEST, SIMILAR_PROMPT, TRUST_IN_RECORDS } from './constants.js'
import type { Estimate } from './cost.js'

/** What an answer was estimated to take, uncorrected, and what it took. Seconds. */
export interface Experience {
  route: RouteKind
  promptTokens: number
  estimated: Estimate
  /** A token: 0 where there were too few to tell. */
  measured: Estimate
}

export interface RouteKind {
  /** Of the model, hex. */
  manifest: string
  stages: number
  /** Between machines. */
  ways: number
  /** Who computes which layers. */
  path: string
}

export interface Corrected extends Estimate {
  /** Answers that corrected it; 0: it is as it was. */
  by: number
}

export interface Asked {
  route: RouteKind
  promptTokens: number
}

/**
 * By the newest answers over the same route, or over as many stages and ways where there are too few: what they took, for
 * a prompt of this length, times what nodes say has changed since. Over the same route that is trusted in part only: most
 * of it is the load of a moment, and seconds old.
 * @param history oldest first
 */
export function corrected(raw: Estimate, asked: Asked, history: readonly Experience[]): Corrected {
  const { route } = asked
  const alike = history.filter(({ route: other, measured }) => isAlike(other, route) && measured.token > 0)
  const same = alike.filter(({ route: { path } }) => path === route.path)
  const isSame = same.length >= LEAST
  const lessons = similar(isSame ? same : alike, asked.promptTokens)
  if (lessons.length < LEAST) return { ...raw, by: 0 }
  const change = raw.token / medianOf(lessons, ({ estimated }) => estimated.token)
  const scale = clamped(isSame ? change ** TRUST_IN_RECORDS : change)
  return {
    token: scale * medianOf(lessons, ({ measured }) => measured.token),
    prompt:
      scale * inTokens(raw) * medianOf(lessons, ({ measured, estimated }) => measured.prompt / inTokens(estimated)),
    open: medianOf(lessons, ({ measured }) => measured.open),
    by: lessons.length
  }
}

/** With prompts of about the same length where there are enough. */
function similar(lessons: readonly Experience[], promptTokens: number): Experience[] {
  const isSimilar = ({ promptTokens: other }: Experience): boolean =>
    other <= promptTokens * SIMILAR_PROMPT && promptTokens <= other * SIMILAR_PROMPT
  const near = lessons.filter(isSimilar)
  return (near.length >= LEAST ? near : lessons).slice(-NEWEST)
}

/** How many tokens of the answer the prompt takes as long as: its length, whatever the nodes' speed is. */
function inTokens({ prompt, token }: Estimate): number {
  return prompt / token
}

/** Of how far estimates were from what came, in parts of that; 0 for none. */
export function medianError(pairs: readonly { estimated: number; measured: number }[]): number {
  return pairs.length === 0 ? 0 : medianOf(pairs, pair => Math.abs(errorOf(pair)))
}

/** Above zero: too much was promised. */
export function errorOf({ estimated, measured }: { estimated: number; measured: number }): number {
  return estimated / measured - 1
}

function isAlike(a: RouteKind, b: RouteKind): boolean {
  return a.manifest === b.manifest && a.stages === b.stages && a.ways === b.ways
}

function clamped(scale: number): number {
  return Math.min(MOST_SCALE, Math.max(1 / MOST_SCALE, scale))
}

function medianOf<T>(items: readonly T[], value: (item: T) => number): number {
  const sorted = items.map(value).sort((a, b) => a - b)
  const middle = sorted.length >> 1
  const upper = sorted[middle] ?? 0
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? 0) + upper) / 2
}
