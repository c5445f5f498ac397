import { describe, expect, it } from 'vitest'
import type { GenerateEvent } from '../../../node/control/contract.js'
import { agreement, faultsOf, type Measure } from '../../chaos/judgement.js'

type Done = Extract<GenerateEvent, { event: 'done' }>

const TOKENS = Array.from({ length: 20 }, (_, i) => i)
const OTHER = TOKENS.map(token => 100 + token)
const measure: Measure = { fate: 'completes', exact: true, most: 20, expected: TOKENS, others: [OTHER] }

/** Only what is looked at. */
const done = (generatedTokens: number, reason: Done['reason'] = 'length'): Done =>
  ({ event: 'done', reason, stats: { generatedTokens } }) as Done

const judged = (tokens: number[], changes: Partial<Measure> = {}, end = done(tokens.length)): string[] =>
  faultsOf({ tokens, done: end, error: undefined }, { ...measure, ...changes })

describe('a chaos run', () => {
  it('finds nothing wrong with the tokens of the undisturbed run', () => {
    expect(judged(TOKENS)).toEqual([])
  })

  it.each([
    ['a token that is lost', TOKENS.filter(token => token !== 5), /token 5 of 19 is another one/],
    ['a token that comes twice', [...TOKENS.slice(0, 6), ...TOKENS.slice(5, 19)], /token 6 of 20 is another one/],
    ['another token', TOKENS.map(token => (token === 7 ? 99 : token)), /token 7 of 20 is another one/],
    ['too many tokens', [...TOKENS, 1], /21 tokens where 20 were asked for/],
    ['an end that comes too early', TOKENS.slice(0, 9), /9 tokens where the undisturbed run has 20/]
  ])('finds %s', (_, tokens, fault) => {
    expect(judged(tokens).join('\n')).toMatch(fault)
  })

  it('finds tokens of another answer, and that what came is not what was generated, also where rounding differs', () => {
    expect(judged([...TOKENS.slice(0, 6), ...OTHER.slice(6)], { exact: false })).toEqual([
      'from token 6 on it has those of another answer'
    ])
    expect(judged(TOKENS, { exact: false }, done(21))).toEqual(['21 tokens were generated, and 20 came'])
    expect(judged([...TOKENS.slice(0, 19), 77], { exact: false })).toEqual([])
  })

  it('lets an answer end with an error only where nobody is left, and only with one that says so', () => {
    const ended = (code: string, fate: Measure['fate'], tokens = TOKENS.slice(0, 4)): string[] =>
      faultsOf({ tokens, done: undefined, error: { code, message: 'gone' } }, { ...measure, fate })
    expect(ended('STAGE_LOST', 'lost')).toEqual([])
    expect(ended('STAGE_LOST', 'completes')).toEqual(['STAGE_LOST: gone'])
    expect(ended('STAGE_LOST', 'waits')).toEqual(['STAGE_LOST: gone'])
    expect(ended('CANCELLED', 'lost')).toEqual(['CANCELLED: gone'])
    expect(ended('STAGE_LOST', 'lost', [0, 1, 99])).toEqual(['token 2 of 3 is another one'])
  })

  it('counts tokens up to the first difference', () => {
    expect(agreement([1, 2, 3], [1, 2, 4])).toBe(2)
    expect(agreement([1, 2], [1, 2, 4])).toBe(2)
    expect(agreement([1, 2], [1])).toBe(1)
  })
})
