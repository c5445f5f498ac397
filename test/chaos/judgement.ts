/** What is wrong with an answer. Pure. */
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
  /** Those of the answers that were under way at the same time. */
  others: readonly (readonly number[])[]
}

/** So many tokens in a row at their own places, out of a vocabulary of hundreds, are no accident. */
const FOREIGN = 8

/** What must not be, in words; nothing where all is well. */
export function faultsOf({ tokens, done, error }: Outcome, { fate, exact, most, expected, others }: Measure): string[] {
  const faults: string[] = []
  const same = agreement(tokens, expected)
  if (error !== undefined && (fate !== 'lost' || !LOST.has(error.code))) faults.push(`${error.code}: ${error.message}`)
  if (done !== undefined && done.stats.generatedTokens !== tokens.length) {
    faults.push(`${done.stats.generatedTokens} tokens were generated, and ${tokens.length} came`)
  }
  if (tokens.length > most) faults.push(`${tokens.length} tokens where ${most} were asked for`)
  if (done?.reason === 'length' && tokens.length !== most) faults.push(`it ended at its length with ${tokens.length}`)
  if (others.some(other => isForeign(tokens.slice(same), other.slice(same)))) {
    faults.push(`from token ${same} on it has those of another answer`)
  }
  if (exact && same < tokens.length) faults.push(`token ${same} of ${tokens.length} is another one`)
  else if (exact && done !== undefined && tokens.length < expected.length) {
    faults.push(`${tokens.length} tokens where the undisturbed run has ${expected.length}`)
  }
  return faults
}

function isForeign(tokens: readonly number[], other: readonly number[]): boolean {
  return agreement(tokens, other) >= FOREIGN
}

/** Tokens up to the first difference. */
export function agreement(tokens: readonly number[], expected: readonly number[]): number {
  const at = tokens.findIndex((token, i) => token !== expected[i])
  return at < 0 ? tokens.length : at
}
