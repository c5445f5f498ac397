import { describe, expect, it } from 'vitest'
import type { GenerateEvent } from '../../../node/control/contract.js'
import { DEFAULT_SAMPLING, sampleToken } from '../../../node/pipeline/sampling.js'
import { agreement, faultsOf, type Measure, verdictOf } from '../../chaos/judgement.js'
import { mulberry32 } from '../../support/random.js'

type Done = Extract<GenerateEvent, { event: 'done' }>

const TOKENS = Array.from({ length: 20 }, (_, i) => i)
const measure: Measure = { fate: 'completes', exact: true, most: 20, expected: TOKENS, strange: [] }

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

  it('finds what the model would not say, and that what came is not what was generated, also where rounding differs', () => {
    const strange = [6, 8].map(place => ({ place, needs: undefined }))
    expect(judged(TOKENS, { exact: false, strange })).toEqual([
      '2 of 20 tokens, first token 6 (however it rounds), are not what the model says there'
    ])
    expect(judged(TOKENS, { exact: false, strange: [{ place: 6, needs: 0.08 }] })).toEqual([
      '1 of 20 tokens, first token 6 (unless it rounds by 8 %), are not what the model says there'
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

  it('takes for rounding what is one, and nothing else', () => {
    const greedy = { ...DEFAULT_SAMPLING, temperature: 0, seed: 1 }
    const row = { ids: Uint32Array.of(7, 8, 9), logits: Float32Array.of(10, 9.9, 9), logSumExp: undefined }
    const choices = [7, 8, 9].map(token => ({ token, row, before: { tokens: [], promptLength: 0 } }))
    expect(verdictOf(choices, greedy)).toEqual({ same: 1, strange: [{ place: 2, needs: 0.08 }] })
  })

  it('knows at any temperature which token the seed draws at its place', () => {
    const sampling = { ...DEFAULT_SAMPLING, temperature: 1, seed: 3 }
    const row = {
      ids: Uint32Array.from({ length: 40 }, (_, id) => id),
      logits: Float32Array.from({ length: 40 }, (_, id) => 2 - id / 40),
      logSumExp: undefined
    }
    const before = Array.from({ length: 100 }, (_, position) => ({
      tokens: Array<number>(position).fill(0),
      promptLength: 0
    }))
    const drawn = before.map(soFar => ({ token: sampleToken(row, soFar, sampling), row, before: soFar }))
    expect(verdictOf(drawn, sampling)).toEqual({ same: 100, strange: [] })
    // As after a token that was lost: each comes a place too early.
    const early = drawn
      .slice(1)
      .map(({ token }, i) => ({ token, row, before: drawn[i]?.before ?? { tokens: [], promptLength: 0 } }))
    expect(verdictOf(early, sampling).strange.length).toBeGreaterThan(70)
  })

  it('calls no token strange that rounding within what was measured has brought up', () => {
    const random = mulberry32(5)
    const ids = Uint32Array.from({ length: 128 }, (_, id) => id)
    for (let seed = 0; seed < 4; seed++) {
      const sampling = { ...DEFAULT_SAMPLING, temperature: 0.2 + random(), seed }
      const choices = Array.from({ length: 500 }, (_, position) => {
        const before = { tokens: Array<number>(position).fill(0), promptLength: 0 }
        const row = { ids, logits: Float32Array.from(ids, () => 6 * random()), logSumExp: undefined }
        const most = 0.02 * random() * Math.max(...row.logits)
        const rounded = { ...row, logits: row.logits.map(logit => logit + most * (2 * random() - 1)) }
        return { token: sampleToken(rounded, before, sampling), row, before }
      })
      const { same, strange } = verdictOf(choices, sampling)
      expect(same, `seed ${seed}`).toBeLessThan(choices.length)
      expect(strange, `seed ${seed}`).toEqual([])
    }
  })

  it('counts tokens up to the first difference', () => {
    expect(agreement([1, 2, 3], [1, 2, 4])).toBe(2)
    expect(agreement([1, 2], [1, 2, 4])).toBe(2)
    expect(agreement([1, 2], [1])).toBe(1)
  })
})
