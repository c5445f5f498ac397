/** What is wrong with an answer. Pure. */
import type { RowCandidates } from '../../node/engine/types.js'
import { sampleToken, type SamplingOptions, type SoFar } from '../../node/pipeline/sampling.js'
import { mulberry32 } from '../support/random.js'
import type { Course } from './course.js'
import type { Schedule } from './schedule.js'

/** How an answer may end when nobody holds some layer any more. */
const LOST: ReadonlySet<string> = new Set(['STAGE_LOST', 'INCOMPLETE_MODEL', 'NO_ROUTE'])

export type Outcome = Pick<Course, 'tokens' | 'done' | 'error'>

export interface Measure {
  fate: Schedule['fate']
  /** The tokens have to be those of the undisturbed run. */
  exact: boolean
  /** The most that were asked for. */
  most: number
  /** Tokens of the undisturbed run. */
  expected: readonly number[]
  strange: readonly Strange[]
}

/** A token of an answer, and what the whole model says after those before it. */
export interface Choice {
  token: number
  row: RowCandidates
  /** Of the prompt, and of the answer so far. */
  before: SoFar
}

export interface Verdict {
  /** Tokens that the model chooses itself, bit for bit. */
  same: number
  strange: Strange[]
}

/** A token that the model would not choose with its logits rounded differently either. */
export interface Strange {
  place: number
  /** The least of `ROUNDINGS` that would explain it: one just above `ROUNDING` is an outlier, a large one a wrong token. */
  needs: number | undefined
}

/**
 * Part of the largest logit by which logits may differ where steps have other shapes. With the random model, which
 * amplifies what its f16 KV rounds, the largest difference of a row was 0.4 % in the median and 2.3 % at most (4600 rows
 * of answers that were computed together and replayed fast). Behind a position that holds another token it is 6 to 12 %
 * in the median.
 */
const ROUNDING = 4e-2
/**
 * Tried one after the other: what little rounding brings up may not come up by more, which lifts others too. Those above
 * `ROUNDING` say how far off a strange token is.
 */
const ROUNDINGS = [5e-3, 1e-2, 2e-2, 3e-2, ROUNDING, 8e-2, 16e-2, 32e-2]
/** Logits that are tried besides those that favour a token most. */
const TRIES = 64

/** What must not be, in words; nothing where all is well. */
export function faultsOf(
  { tokens, done, error }: Outcome,
  { fate, exact, most, expected, strange }: Measure
): string[] {
  const faults: string[] = []
  const same = agreement(tokens, expected)
  if (error !== undefined && (fate !== 'lost' || !LOST.has(error.code))) faults.push(`${error.code}: ${error.message}`)
  if (done !== undefined && done.stats.generatedTokens !== tokens.length) {
    faults.push(`${done.stats.generatedTokens} tokens were generated, and ${tokens.length} came`)
  }
  if (tokens.length > most) faults.push(`${tokens.length} tokens where ${most} were asked for`)
  if (done?.reason === 'length' && tokens.length !== most) faults.push(`it ended at its length with ${tokens.length}`)
  const [first] = strange
  if (first !== undefined) {
    const where = `first token ${first.place} (${unless(first)})`
    faults.push(`${strange.length} of ${tokens.length} tokens, ${where}, are not what the model says there`)
  }
  if (exact && same < tokens.length) faults.push(`token ${same} of ${tokens.length} is another one`)
  else if (exact && done !== undefined && tokens.length < expected.length) {
    faults.push(`${tokens.length} tokens where the undisturbed run has ${expected.length}`)
  }
  return faults
}

function unless({ needs }: Strange): string {
  return needs === undefined ? 'however it rounds' : `unless it rounds by ${Math.round(needs * 100)} %`
}

/** Whether each token is what the model chooses there, give or take rounding. */
export function verdictOf(choices: readonly Choice[], sampling: SamplingOptions): Verdict {
  const random = mulberry32(sampling.seed)
  const other = choices.map((choice, place) => ({ ...choice, place })).filter(choice => !isChosen(choice, sampling))
  const comesUp = ({ row, ...choice }: Choice, rounding: number): boolean => {
    const anyhow = Array.from({ length: TRIES }, () => roundedAnew(row, { rounding, random }))
    const rounded = [...favouring(choice.token, row, rounding), ...anyhow]
    return rounded.some(logits => isChosen({ ...choice, row: { ...row, logits } }, sampling))
  }
  const needed = other.map(choice => ({
    place: choice.place,
    needs: ROUNDINGS.find(rounding => comesUp(choice, rounding))
  }))
  return {
    same: choices.length - other.length,
    strange: needed.filter(({ needs }) => needs === undefined || needs > ROUNDING)
  }
}

function isChosen({ token, row, before }: Choice, sampling: SamplingOptions): boolean {
  return sampleToken(row, before, sampling) === token
}

function roundedAnew(
  { logits }: RowCandidates,
  { rounding, random }: { rounding: number; random: () => number }
): Float32Array {
  const most = mostOf(logits, rounding)
  return logits.map(logit => logit + most * (2 * random() - 1))
}

/** What favours a token most, for each place that the random number can have: where all others fall, the likelier or the others. */
function favouring(token: number, { ids, logits }: RowCandidates, rounding: number): Float32Array[] {
  const most = mostOf(logits, rounding)
  const own = logits[ids.indexOf(token)]
  if (own === undefined) return []
  const rounded = (by: (logit: number) => number): Float32Array =>
    logits.map((logit, i) => logit + most * (ids[i] === token ? 1 : by(logit)))
  return [rounded(() => -1), rounded(logit => (logit > own ? 1 : -1)), rounded(logit => (logit > own ? -1 : 1))]
}

function mostOf(logits: Float32Array, rounding: number): number {
  return rounding * logits.reduce((most, logit) => Math.max(most, Math.abs(logit)), 0)
}

/** Tokens up to the first difference. */
export function agreement(tokens: readonly number[], expected: readonly number[]): number {
  const at = tokens.findIndex((token, i) => token !== expected[i])
  return at < 0 ? tokens.length : at
}
