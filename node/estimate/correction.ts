/** What earlier answers say of an estimate. Pure. */
import { LEAST, MOST_SCALE, NEWEST, SIMILAR_PROMPT, TRUST_IN_RECORDS } from './constants.js'
import type { Estimate } from './cost.js'

/** What an answer was estimated to take, uncorrected, and what it took. Seconds. */
export interface Experience {
  route: RouteKind
  promptTokens: number
  /** Of the prompt: there already, from the answer before. Where there are any, no route had to be opened. */
  cachedTokens: number
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
  /** As in an `Experience`. */
  cachedTokens: number
  /** Seconds that it takes to read so many tokens, uncorrected. */
  promptOf: (promptTokens: number) => number
}

/**
 * By the newest answers over the same route, or over as many stages and ways where there is none: what they took, times
 * what nodes say has changed since, and the prompt times what its length makes of it. What nodes say has changed is trusted
 * in part only over the same route: most of it is the load of a moment, and seconds old. What comes before the first token
 * is learned from answers that began like this one: anew, or from where an earlier one ended.
 * @param history oldest first
 */
export function corrected(
  raw: Estimate,
  { route, promptOf, ...asked }: Asked,
  history: readonly Experience[]
): Corrected {
  const alike = history.filter(({ route: other, measured }) => isAlike(other, route) && measured.token > 0)
  const same = alike.filter(({ route: { path } }) => path === route.path)
  const isSame = same.length > 0
  const known = isSame ? same : alike
  if (!isSame && known.length < LEAST) return { ...raw, by: 0 }
  const since = (now: number, then: number): number => clamped(isSame ? (now / then) ** TRUST_IN_RECORDS : now / then)
  const lessons = newestOf(known, ({ promptTokens }) => isSimilar(promptTokens, asked.promptTokens))
  const begun = known.filter(one => isContinued(one) === isContinued(asked))
  const reads = begun.length > 0 ? begun : known
  return {
    token: medianOf(lessons, ({ measured, estimated }) => measured.token * since(raw.token, estimated.token)),
    prompt: medianOf(
      newestOf(reads, one => isSimilar(newTokens(one), newTokens(asked))),
      ({ measured, estimated, ...other }) => {
        const now = promptOf(newTokens(other))
        return measured.prompt * since(now, estimated.prompt) * (raw.prompt / now)
      }
    ),
    open: begun.length > 0 ? medianOf(begun.slice(-NEWEST), ({ measured }) => measured.open) : raw.open,
    by: lessons.length
  }
}

type Prompt = Pick<Experience, 'promptTokens' | 'cachedTokens'>

export function newTokens({ promptTokens, cachedTokens }: Prompt): number {
  return promptTokens - cachedTokens
}

export function isContinued({ cachedTokens }: Pick<Prompt, 'cachedTokens'>): boolean {
  return cachedTokens > 0
}

/** A token takes longer behind a long prompt, and so does each row of it. */
function isSimilar(tokens: number, others: number): boolean {
  return others <= tokens * SIMILAR_PROMPT && tokens <= others * SIMILAR_PROMPT
}

/** The newest that are so, or of all where none is. */
function newestOf(lessons: readonly Experience[], isSo: (lesson: Experience) => boolean): Experience[] {
  const those = lessons.filter(isSo)
  return (those.length > 0 ? those : lessons).slice(-NEWEST)
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
