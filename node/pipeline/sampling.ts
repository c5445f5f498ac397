/**
 * Choosing the next token at the origin, from the head stage's best candidates: llama.cpp's sampler chain (bias, penalties,
 * top-k, top-p, min-p, temperature) over what travelled. The same seed and position draw the same number, so an answer
 * does not depend on the route, and a replay repeats it.
 */
import { createHash } from 'node:crypto'
import type { RowCandidates, Want } from '../engine/types.js'
import { MAX_CANDIDATES } from '../../protocol/limits.js'

export interface SamplingOptions {
  /** 0 is greedy. */
  temperature: number
  /** Keep the best so many; 0 keeps all. */
  topK: number
  /** Keep the smallest set whose probability reaches this; 1 keeps all. */
  topP: number
  /** Drop what is less likely than this share of the best; 0 keeps all. */
  minP: number
  /** Logits of recent tokens are divided (positive) or multiplied (negative) by this, which is 1 (no change) or more. */
  repeatPenalty: number
  /** Taken from the logit of every token that the answer has already ... */
  presencePenalty: number
  /** ... and from that of each as often as it has it (OpenAI's `presence_penalty` and `frequency_penalty`). */
  frequencyPenalty: number
  /** Added to the logits of these tokens, by id. */
  logitBias: ReadonlyMap<number, number>
  seed: number
}

/** The tokens before the one that is chosen. */
export interface SoFar {
  /** Prompt and answer. */
  tokens: readonly number[]
  /** Of these, so many are the prompt's. */
  promptLength: number
}

/** llama.cpp's defaults (`common_params_sampling`), with no penalty as there. */
export const DEFAULT_SAMPLING: Omit<SamplingOptions, 'seed'> = {
  temperature: 0.8,
  topK: 40,
  topP: 0.95,
  minP: 0.05,
  repeatPenalty: 1,
  presencePenalty: 0,
  frequencyPenalty: 0,
  logitBias: new Map()
}

/** Tokens of an answer where nothing was asked for. */
export const DEFAULT_MAX_TOKENS = 512

/** How many of the last tokens the repeat penalty looks at (llama.cpp's `repeat_last_n`). */
export const PENALTY_WINDOW = 64

/** Candidates that are asked for when sampling: enough for top-k 40 after the penalty took 64 of them down. */
export const SAMPLED_CANDIDATES = 128

interface Candidate {
  id: number
  logit: number
}

const repeats = ({ repeatPenalty }: SamplingOptions): boolean => repeatPenalty !== 1
const counts = ({ presencePenalty, frequencyPenalty }: SamplingOptions): boolean =>
  presencePenalty !== 0 || frequencyPenalty !== 0

/**
 * What the head has to answer so that `sampleToken` is exact.
 * @param logprobs how many of the likeliest tokens are to be told with their probability; undefined: none, nor the chosen one's
 */
export function wantFor(options: SamplingOptions, soFar: SoFar, logprobs?: number): Want {
  const greedy = options.temperature <= 0
  const kept = greedy ? 1 : options.topK || MAX_CANDIDATES
  const least = Math.max(greedy ? 1 : SAMPLED_CANDIDATES, logprobs ?? 0)
  return {
    rows: 1,
    candidates: Math.min(MAX_CANDIDATES, Math.max(least, kept + takenDown(options, soFar))),
    ids: [...options.logitBias.keys()],
    logSumExp: logprobs !== undefined || (!greedy && options.topK === 0 && options.topP < 1)
  }
}

/** How many of the best candidates may fall behind others, at most. */
function takenDown(options: SamplingOptions, { tokens, promptLength }: SoFar): number {
  const biased = [...options.logitBias.values()].filter(bias => bias < 0).length
  const counted = counts(options) ? new Set(tokens.slice(promptLength)).size : 0
  return biased + counted + (repeats(options) ? PENALTY_WINDOW : 0)
}

/** In [0, 1), from nothing but the seed and the position. */
export function randomAt(seed: number, position: number): number {
  const input = Buffer.alloc(16)
  input.writeDoubleLE(seed, 0)
  input.writeDoubleLE(position, 8)
  const digest = createHash('sha256').update(input).digest()
  return (digest.readUInt32LE(0) * 2 ** 21 + (digest.readUInt32LE(4) >>> 11)) / 2 ** 53
}

/** @param row the head's candidates for the position after `soFar` */
export function sampleToken(row: RowCandidates, soFar: SoFar, options: SamplingOptions): number {
  const offered = candidatesOf(row)
  const candidates = adjusted(offered, soFar, options)
  const best = candidates[0]
  if (best === undefined) throw new RangeError('the head answered without candidates')
  if (options.temperature <= 0) return best.id
  const mass = totalMass({ offered, candidates, logSumExp: row.logSumExp }, options)
  return draw(truncate(candidates, options, mass), randomAt(options.seed, soFar.tokens.length), options.temperature)
}

/** Each once: what was asked for by id may be among the best too. */
function candidatesOf({ ids, logits }: RowCandidates): Candidate[] {
  const found = new Map<number, Candidate>()
  ids.forEach((id, i) => found.set(id, { id, logit: logits[i] ?? -Infinity }))
  return [...found.values()]
}

/** Candidates after bias and penalties, best first, ties by id. */
function adjusted(
  offered: readonly Candidate[],
  { tokens, promptLength }: SoFar,
  options: SamplingOptions
): Candidate[] {
  const repeated = new Set(repeats(options) ? tokens.slice(-PENALTY_WINDOW) : [])
  const counted = counts(options) ? occurrences(tokens.slice(promptLength)) : new Map<number, number>()
  const { logitBias, repeatPenalty, presencePenalty, frequencyPenalty } = options
  return offered
    .map(({ id, logit }): Candidate => {
      const biased = logit + (logitBias.get(id) ?? 0)
      const penalised = repeated.has(id) ? penalise(biased, repeatPenalty) : biased
      const count = counted.get(id) ?? 0
      return { id, logit: penalised - count * frequencyPenalty - (count > 0 ? presencePenalty : 0) }
    })
    .sort((a, b) => b.logit - a.logit || a.id - b.id)
}

const penalise = (logit: number, penalty: number): number => (logit > 0 ? logit / penalty : logit * penalty)

function occurrences(tokens: readonly number[]): Map<number, number> {
  const found = new Map<number, number>()
  for (const token of tokens) found.set(token, (found.get(token) ?? 0) + 1)
  return found
}

/** Sum of exp(logit - best) over everything that top-p measures against: the kept top-k, or the whole vocabulary. */
function totalMass(
  { offered, candidates, logSumExp }: { offered: Candidate[]; candidates: Candidate[]; logSumExp: number | undefined },
  { topK }: SamplingOptions
): number {
  const best = candidates[0]?.logit ?? 0
  const massOf = (some: readonly Candidate[]): number => sum(some.map(({ logit }) => Math.exp(logit - best)))
  const mass = massOf(topK > 0 ? candidates.slice(0, topK) : candidates)
  if (topK > 0 || logSumExp === undefined) return mass
  return Math.max(mass, Math.exp(logSumExp - best) - massOf(offered) + mass)
}

function truncate(candidates: Candidate[], options: SamplingOptions, mass: number): Candidate[] {
  const best = candidates[0]?.logit ?? 0
  const top = options.topK > 0 ? candidates.slice(0, options.topK) : candidates
  const nucleus: Candidate[] = []
  let reached = 0
  for (const candidate of top) {
    if (nucleus.length > 0 && reached >= options.topP) break
    nucleus.push(candidate)
    reached += Math.exp(candidate.logit - best) / mass
  }
  return options.minP > 0 ? nucleus.filter(c => c.logit >= best + Math.log(options.minP)) : nucleus
}

function draw(candidates: Candidate[], random: number, temperature: number): number {
  const best = candidates[0]?.logit ?? 0
  const weights = candidates.map(c => Math.exp((c.logit - best) / temperature))
  let left = random * sum(weights)
  for (const [i, candidate] of candidates.entries()) {
    left -= weights[i] ?? 0
    if (left < 0) return candidate.id
  }
  return candidates.at(-1)?.id ?? 0
}

const sum = (values: number[]): number => values.reduce((total, value) => total + value, 0)

/** A token with the natural logarithm of its probability, as the model gives it before any sampling. */
export interface Logprob {
  token: number
  logprob: number
}

/** @param row with its log-sum-exp @param token among its candidates @param top how many of the likeliest */
export function logprobsOf(row: RowCandidates, token: number, top: number): Logprob & { top: Logprob[] } {
  const { logSumExp = 0 } = row
  const all = candidatesOf(row)
    .sort((a, b) => b.logit - a.logit || a.id - b.id)
    .map(({ id, logit }) => ({ token: id, logprob: logit - logSumExp }))
  const logprob = all.find(candidate => candidate.token === token)?.logprob ?? -Infinity
  return { token, logprob, top: all.slice(0, top) }
}
