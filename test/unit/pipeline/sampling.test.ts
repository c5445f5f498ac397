import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { RowCandidates } from '../../../node/engine/types.js'
import {
  DEFAULT_SAMPLING,
  PENALTY_WINDOW,
  SAMPLED_CANDIDATES,
  randomAt,
  sampleToken,
  logprobsOf,
  wantFor,
  type SamplingOptions,
  type SoFar
} from '../../../node/pipeline/sampling.js'

const plain: SamplingOptions = { ...DEFAULT_SAMPLING, temperature: 1, topK: 0, topP: 1, minP: 0, seed: 7 }

/** Nothing that is penalised, and so many positions. */
const at = (position: number): SoFar => ({
  tokens: Array.from({ length: position }, () => 9_999),
  promptLength: position
})
const after = (...tokens: number[]): SoFar => ({ tokens, promptLength: 0 })

function row(logits: Record<number, number>, logSumExp?: number): RowCandidates {
  const entries = Object.entries(logits).sort((a, b) => b[1] - a[1])
  return {
    ids: Uint32Array.from(entries, ([id]) => Number(id)),
    logits: Float32Array.from(entries, ([, logit]) => logit),
    logSumExp
  }
}

/** How often each token is drawn over many positions. */
function frequencies(candidates: RowCandidates, options: SamplingOptions, draws = 4_000): Map<number, number> {
  const counts = new Map<number, number>()
  for (let position = 0; position < draws; position++) {
    const token = sampleToken(candidates, at(position), options)
    counts.set(token, (counts.get(token) ?? 0) + 1 / draws)
  }
  return counts
}

describe('sampling at the origin', () => {
  it('takes the best token at temperature 0, and the lower id of two equal ones', () => {
    expect(sampleToken(row({ 5: 1, 9: 3, 2: 3 }), at(0), { ...plain, temperature: 0 })).toBe(2)
  })

  it('draws tokens as often as their probability says', () => {
    const counts = frequencies(row({ 1: Math.log(0.5), 2: Math.log(0.3), 3: Math.log(0.2) }), plain)
    expect(counts.get(1)).toBeCloseTo(0.5, 1)
    expect(counts.get(2)).toBeCloseTo(0.3, 1)
    expect(counts.get(3)).toBeCloseTo(0.2, 1)
  })

  it('keeps only the best k', () => {
    const counts = frequencies(row({ 1: 1, 2: 0.9, 3: 0.8 }), { ...plain, topK: 2 }, 500)
    expect([...counts.keys()].sort()).toEqual([1, 2])
  })

  it('measures top-p against the whole vocabulary when the head sent its log-sum-exp', () => {
    // Two candidates with probabilities 0.4 and 0.3 of the vocabulary: together they do not reach 0.6 of themselves alone.
    const candidates = row({ 1: Math.log(0.4), 2: Math.log(0.3) }, 0)
    expect([...frequencies(candidates, { ...plain, topP: 0.5 }, 500).keys()].sort()).toEqual([1, 2])
    const alone = row({ 1: Math.log(0.4), 2: Math.log(0.3) })
    expect([...frequencies(alone, { ...plain, topP: 0.5 }, 500).keys()]).toEqual([1])
  })

  it('drops what is much less likely than the best', () => {
    const candidates = row({ 1: Math.log(0.6), 2: Math.log(0.39), 3: Math.log(0.01) })
    expect(frequencies(candidates, { ...plain, minP: 0.05 }, 2_000).has(3)).toBe(false)
  })

  it('flattens with a high temperature and sharpens with a low one', () => {
    const candidates = row({ 1: 2, 2: 0 })
    const cold = frequencies(candidates, { ...plain, temperature: 0.3 }).get(1) ?? 0
    const hot = frequencies(candidates, { ...plain, temperature: 3 }).get(1) ?? 0
    expect(cold).toBeGreaterThan(0.95)
    expect(hot).toBeLessThan(0.75)
  })

  it('takes recent tokens down by the repeat penalty, but not those before its window', () => {
    const options = { ...plain, temperature: 0, repeatPenalty: 2 }
    expect(sampleToken(row({ 1: 3, 2: 2 }), after(1), options)).toBe(2)
    expect(sampleToken(row({ 1: -1, 2: -1.5 }), after(1), options)).toBe(2)
    const longAgo = [1, ...Array.from({ length: PENALTY_WINDOW }, () => 99)]
    expect(sampleToken(row({ 1: 3, 2: 2 }), after(...longAgo), options)).toBe(1)
  })

  it('takes down what the answer has, once and by count, and not what only the prompt has', () => {
    const greedy = { ...plain, temperature: 0 }
    const soFar = { tokens: [3, 1, 2, 2], promptLength: 1 }
    const candidates = row({ 1: 2, 2: 2.2, 3: 1.5 })
    const presence = (presencePenalty: number): number => sampleToken(candidates, soFar, { ...greedy, presencePenalty })
    expect([0, 0.5, 0.8].map(presence)).toEqual([2, 2, 3])
    const frequency = (frequencyPenalty: number): number =>
      sampleToken(candidates, soFar, { ...greedy, frequencyPenalty })
    expect([0, 0.3, 0.8, -0.5].map(frequency)).toEqual([2, 1, 3, 2])
  })

  it('adds a bias to tokens, also to one that is not among the best', () => {
    const greedy = { ...plain, temperature: 0 }
    const biased = (bias: [number, number][]): number =>
      sampleToken(row({ 1: 2, 2: 1, 7: -5 }), at(0), { ...greedy, logitBias: new Map(bias) })
    expect(biased([[1, -100]])).toBe(2)
    expect(biased([[7, 8]])).toBe(7)
    // Once among the best and once asked for by id.
    const twice = { ids: Uint32Array.of(1, 2, 2), logits: Float32Array.of(0, 0, 0), logSumExp: Math.log(2) }
    const drawn = frequencies(twice, { ...plain, topP: 0.99, logitBias: new Map([[2, 0]]) })
    expect(drawn.get(1)).toBeCloseTo(0.5, 1)
  })

  it('tells probabilities as the model gives them', () => {
    const candidates = row({ 1: Math.log(0.5) + 3, 2: Math.log(0.3) + 3, 3: Math.log(0.2) + 3 }, 3)
    const { token, logprob, top } = logprobsOf(candidates, 2, 2)
    expect([token, Math.exp(logprob)]).toEqual([2, expect.closeTo(0.3)])
    expect(top.map(one => [one.token, Math.exp(one.logprob)])).toEqual([
      [1, expect.closeTo(0.5)],
      [2, expect.closeTo(0.3)]
    ])
  })

  it('draws the same token for the same seed and position, whatever came before', () => {
    fc.assert(
      fc.property(
        fc.nat(),
        fc.nat(1_000),
        fc.array(fc.float({ noNaN: true, min: -20, max: 20 }), { minLength: 2 }),
        (seed, position, logits) => {
          const candidates = row(Object.fromEntries(logits.map((logit, id) => [id, logit])))
          const options = { ...plain, ...DEFAULT_SAMPLING, seed }
          const token = sampleToken(candidates, at(position), options)
          expect(sampleToken(candidates, at(position), options)).toBe(token)
          expect(candidates.ids).toContain(token)
        }
      )
    )
  })

  it('draws numbers that are spread over [0, 1) and differ by seed and by position', () => {
    const numbers = Array.from({ length: 2_000 }, (_, position) => randomAt(42, position))
    expect(Math.min(...numbers)).toBeGreaterThanOrEqual(0)
    expect(Math.max(...numbers)).toBeLessThan(1)
    expect(numbers.reduce((a, b) => a + b, 0) / numbers.length).toBeCloseTo(0.5, 1)
    expect(new Set(numbers).size).toBe(numbers.length)
    expect(randomAt(1, 0)).not.toBe(randomAt(2, 0))
  })

  it('asks for one candidate when greedy, and for more where penalties or a wide top-k need them', () => {
    expect(wantFor({ ...plain, temperature: 0 }, at(0))).toMatchObject({ candidates: 1, logSumExp: false })
    expect(wantFor({ ...plain, temperature: 0, repeatPenalty: 1.1 }, at(0)).candidates).toBe(1 + PENALTY_WINDOW)
    expect(wantFor({ ...plain, topK: 40, topP: 0.9 }, at(0))).toMatchObject({
      candidates: SAMPLED_CANDIDATES,
      logSumExp: false
    })
    expect(wantFor({ ...plain, topK: 500 }, at(0)).candidates).toBe(500)
    expect(wantFor({ ...plain, topK: 0, topP: 0.9 }, at(0)).logSumExp).toBe(true)
  })

  it('asks for what bias, counted tokens and probabilities need', () => {
    const greedy = { ...plain, temperature: 0 }
    const logitBias = new Map([
      [7, -1],
      [9, 1]
    ])
    expect(wantFor({ ...greedy, logitBias }, at(0))).toMatchObject({ candidates: 2, ids: [7, 9] })
    const soFar = { tokens: [5, 1, 2, 2], promptLength: 1 }
    expect(wantFor({ ...greedy, presencePenalty: 1 }, soFar).candidates).toBe(3)
    expect(wantFor(greedy, soFar, 5)).toMatchObject({ candidates: 5, logSumExp: true })
    expect(wantFor(greedy, soFar, 0)).toMatchObject({ candidates: 1, logSumExp: true })
  })
})
