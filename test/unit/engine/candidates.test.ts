import fc from 'fast-check'
import { expect, test } from 'vitest'
import { selectCandidates } from '../../../node/engine/candidates.js'

const want = { rows: 1, candidates: 0, ids: [], logSumExp: false }
const logits = fc.float32Array({ minLength: 1, maxLength: 300, noNaN: true, noDefaultInfinity: true })
const fewValues = fc
  .array(fc.constantFrom(-1, 0, 1, 2), { minLength: 1, maxLength: 100 })
  .map(values => Float32Array.from(values))

function sorted(values: Float32Array): number[] {
  return [...values.keys()].sort((a, b) => (values[b] ?? 0) - (values[a] ?? 0) || a - b)
}

test('the candidates are the largest logits, and equal ones come by id', () => {
  fc.assert(
    fc.property(fc.oneof(logits, fewValues), fc.nat(350), (values, candidates) => {
      const selected = selectCandidates(values, { ...want, candidates })
      const expected = sorted(values).slice(0, candidates)
      expect([...(selected?.ids ?? [])]).toEqual(expected)
      expect([...(selected?.logits ?? [])]).toEqual(expected.map(id => values[id]))
    })
  )
})

test('tokens that were asked for by id follow the best ones, in the order asked', () => {
  const selected = selectCandidates(Float32Array.of(3, 1, 2), { ...want, candidates: 2, ids: [1, 0] })
  expect([...(selected?.ids ?? [])]).toEqual([0, 2, 1, 0])
  expect([...(selected?.logits ?? [])]).toEqual([3, 2, 1, 3])
})

test('the log-sum-exp is over all logits', () => {
  fc.assert(
    fc.property(logits, values => {
      const largest = Math.max(...values)
      const expected = largest + Math.log([...values].reduce((sum, logit) => sum + Math.exp(logit - largest), 0))
      const selected = selectCandidates(values, { ...want, logSumExp: true })
      expect(selected?.logSumExp).toBeCloseTo(expected, 8)
    })
  )
})

test('a row with NaN or positive infinity has no candidates, one with negative infinity has', () => {
  expect(selectCandidates(Float32Array.of(1, NaN, 5), { ...want, candidates: 1 })).toBeUndefined()
  expect(selectCandidates(Float32Array.of(NaN), { ...want, candidates: 1 })).toBeUndefined()
  expect(selectCandidates(Float32Array.of(1, Infinity), { ...want, candidates: 2 })).toBeUndefined()
  expect([...(selectCandidates(Float32Array.of(-Infinity, 1), { ...want, candidates: 2 })?.ids ?? [])]).toEqual([1, 0])
})
