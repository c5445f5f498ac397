import { expect, test } from 'vitest'
import { checkStep, MAX_ASKED_IDS, type ShardShape } from '../../../node/engine/step-check.js'
import type { EngineStep } from '../../../node/engine/types.js'
import { codeOf } from './support.js'

const first: ShardShape = {
  id: 1,
  width: 8,
  vocabulary: 100,
  batch: 4,
  context: 32,
  sequences: 2,
  start: 0,
  end: 4,
  layers: 8
}
const last: ShardShape = { ...first, start: 4, end: 8 }
const want = { rows: 1, candidates: 1, ids: [7], logSumExp: true }
const tokens: EngineStep = {
  shard: 1,
  sequence: 1,
  position: 0,
  rows: 2,
  tokens: Uint32Array.of(0, 99),
  leave: 4,
  dtype: 'f16',
  want: { ...want, rows: 0 }
}
const hidden: EngineStep = {
  shard: 1,
  sequence: 0,
  position: 30,
  rows: 2,
  hidden: { dtype: 'f16', bytes: new Uint8Array(2 * 8 * 2) },
  leave: 8,
  dtype: 'f32',
  want
}

const embedding = { rows: 1, candidates: 0, ids: [], logSumExp: false, embedding: true }

test('a step that fits its shard passes', () => {
  expect(() => checkStep({ ...hidden, want: embedding }, last)).not.toThrow()
  expect(() => checkStep(tokens, first)).not.toThrow()
  expect(() => checkStep({ ...tokens, leave: 1 }, first)).not.toThrow()
  expect(() => checkStep(hidden, last)).not.toThrow()
  expect(() => checkStep({ ...hidden, hidden: { dtype: 'f32', bytes: new Uint8Array(2 * 8 * 4) } }, last)).not.toThrow()
})

const refusedTokens: [string, Partial<EngineStep>][] = [
  ['a sequence beyond the context', { sequence: 2 }],
  ['a negative sequence', { sequence: -1 }],
  ['a sequence that is not whole', { sequence: 0.5 }],
  ['no rows', { rows: 0, tokens: new Uint32Array() }],
  ['more rows than a decode has', { rows: 5, tokens: new Uint32Array(5) }],
  ['a negative position', { position: -1 }],
  ['a position that is not a number', { position: NaN }],
  ['an end beyond the context', { position: 31 }],
  ['fewer tokens than rows', { tokens: Uint32Array.of(1) }],
  ['a token beyond the vocabulary', { tokens: Uint32Array.of(1, 100) }],
  ['leaving where it starts', { leave: 0 }],
  ['leaving behind the end', { leave: 5 }],
  ['candidates without the head', { want }],
  ['an embedding without the head', { want: embedding }],
  ['both kinds of input', { hidden: { dtype: 'f32', bytes: new Uint8Array(64) } }]
]

test.each(refusedTokens)('tokens with %s are refused', (_, change) => {
  expect(codeOf(() => checkStep({ ...tokens, ...change }, first))).toBe('BAD_STEP')
})

const refusedHidden: [string, Partial<EngineStep>][] = [
  ['too few bytes', { hidden: { dtype: 'f16', bytes: new Uint8Array(31) } }],
  ['the bytes of another type', { hidden: { dtype: 'f32', bytes: new Uint8Array(32) } }],
  ['an unknown type', { hidden: { dtype: 'f8' as 'f16', bytes: new Uint8Array(32) } }],
  ['an unknown type for the answer', { dtype: 'q8' as 'f16' }],
  ['more candidate rows than rows', { want: { ...want, rows: 3 } }],
  ['an asked id beyond the vocabulary', { want: { ...want, ids: [100] } }],
  ['too many asked ids', { want: { ...want, ids: new Array<number>(MAX_ASKED_IDS + 1).fill(0) } }],
  ['a negative count of candidates', { want: { ...want, candidates: -1 } }],
  ['two embeddings', { want: { ...embedding, rows: 2 } }],
  ['an embedding of no row', { want: { ...embedding, rows: 0 } }],
  ['an embedding and candidates', { want: { ...embedding, candidates: 1 } }],
  ['an embedding and the logit of a token', { want: { ...embedding, ids: [1] } }],
  ['an embedding and a log-sum-exp', { want: { ...embedding, logSumExp: true } }]
]

test.each(refusedHidden)('hidden states with %s are refused', (_, change) => {
  expect(codeOf(() => checkStep({ ...hidden, ...change }, last))).toBe('BAD_STEP')
})

test('a shard takes what its first layer takes, and something', () => {
  expect(codeOf(() => checkStep(tokens, { ...last, end: 8 }))).toBe('BAD_STEP')
  expect(codeOf(() => checkStep({ ...hidden, leave: 4, want: { ...want, rows: 0 } }, first))).toBe('BAD_STEP')
  const nothing = { ...tokens }
  delete nothing.tokens
  expect(codeOf(() => checkStep(nothing, first))).toBe('BAD_STEP')
})
