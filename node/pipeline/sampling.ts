/**
 * Choosing the next token at the origin, from the head stage's best candidates: llama.cpp's sampler chain (penalties,
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
  seed: number
}

/** llama.cpp's defaults (`common_params_sampling`), with no penalty as there. */
export const DEFAULT_SAMPLING: Omit<SamplingOptions, 'seed'> = {
  temperature: 0.8,
  topK: 40,
  topP: 0.95,
  minP: 0.05,
  repeatPenalty: 1
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

const penalises = (options: SamplingOptions): boolean => options.repeatPenalty !== 1

/** What the head has to answer so that `sampleToken` is exact. */
export function wantFor(options: SamplingOptions): Want {
  const lost = penalises(options) ? PENALTY_WINDOW : 0
  const greedy = options.temperature <= 0
  const kept = greedy ? 1 : options.topK || MAX_CANDIDATES
  const least = greedy ? 1 : SAMPLED_CANDIDATES
  return {
    rows: 1,
    candidates: Math.min(MAX_CANDIDATES, Math.max(least, kept + lost)),
    ids: [],
    logSumExp: !greedy && options.topK === 0 && options.topP < 1
  }
}

/** In [0, 1), from nothing but the seed and the position. */
export function randomAt(seed: number, position: number): number {
  const input = Buffer.alloc(16)
  input.writeDoubleLE(seed, 0)
  input.writeDoubleLE(position, 8)
  const digest = createHash('sha256').update(input).digest()
  return (digest.readUInt32LE(0) * 2 ** 21 + (digest.readUInt32LE(4) >>> 11)) / 2 ** 53
}

/**
 * @param row the head's candidates for this position
 * @param recent token ids before it, prompt included; the last `PENALTY_WINDOW` count
 * @param position of the token that is chosen
 */
export function sampleToken(
  row: RowCandidates,
  recent: readonly number[],
  position: number,
  options: SamplingOptions
): number {
  const candidates = penalised(row, recent, options)
  const best = candidates[0]
  if (best === undefined) throw new RangeError('the head answered without candidates')
  if (options.temperature <= 0) return best.id
  const kept = truncate(candidates, options, totalMass(row, candidates, options))
  return draw(kept, randomAt(options.seed, position), options.temperature)
}

/** Candidates after the repeat penalty, best first, ties by id. */
function penalised(row: RowCandidates, recent: readonly number[], options: SamplingOptions): Candidate[] {
  const repeated = new Set(penalises(options) ? recent.slice(-PENALTY_WINDOW) : [])
  const candidates: Candidate[] = []
  row.ids.forEach((id, i) => {
    const logit = row.logits[i] ?? -Infinity
    candidates.push({ id, logit: repeated.has(id) ? penalise(logit, options.repeatPenalty) : logit })
  })
  return candidates.sort((a, b) => b.logit - a.logit || a.id - b.id)
}

const penalise = (logit: number, penalty: number): number => (logit > 0 ? logit / penalty : logit * penalty)

/** Sum of exp(logit - best) over everything that top-p measures against: the kept top-k, or the whole vocabulary. */
function totalMass(row: RowCandidates, candidates: Candidate[], options: SamplingOptions): number {
  const best = candidates[0]?.logit ?? 0
  const measured = options.topK > 0 ? candidates.slice(0, options.topK) : candidates
  const mass = sum(measured.map(c => Math.exp(c.logit - best)))
  if (options.topK > 0 || row.logSumExp === undefined) return mass
  const before = sum(Array.from(row.logits, logit => Math.exp(logit - best)))
  return Math.max(mass, Math.exp(row.logSumExp - best) - before + mass)
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
