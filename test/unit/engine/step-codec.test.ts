import fc from 'fast-check'
import { expect, test } from 'vitest'
import { STEP, STEP_RESULT } from '../../../node/engine/step-codec.js'
import type { EngineStep, EngineStepResult } from '../../../node/engine/types.js'

/** The parts as one message at `offset` of a larger buffer, as they come out of a pipe. */
function joined(parts: Uint8Array[], offset: number): Uint8Array {
  return Buffer.concat([Buffer.alloc(offset), ...parts]).subarray(offset)
}

const offset = fc.integer({ min: 0, max: 16 })
const dtype = fc.constantFrom('f32' as const, 'f16' as const)
const number = fc.oneof(fc.integer(), fc.double({ noNaN: true }))

const step: fc.Arbitrary<EngineStep> = fc
  .record({
    shard: number,
    sequence: number,
    position: number,
    rows: number,
    leave: number,
    dtype,
    want: fc.record(
      {
        ...{ rows: number, candidates: number, ids: fc.array(number), logSumExp: fc.boolean() },
        embedding: fc.constant(true)
      },
      { requiredKeys: ['rows', 'candidates', 'ids', 'logSumExp'] }
    ),
    tokens: fc.option(fc.uint32Array()),
    hidden: fc.option(fc.record({ dtype, bytes: fc.uint8Array() }))
  })
  .map(({ tokens, hidden, ...rest }) => ({
    ...rest,
    ...(tokens === null ? {} : { tokens }),
    ...(hidden === null ? {} : { hidden })
  }))

const candidates = fc
  .record({
    pairs: fc.array(fc.tuple(fc.integer({ min: 0, max: 0xffffffff }), fc.float({ noNaN: true }))),
    logSumExp: fc.option(fc.double({ noNaN: true }), { nil: undefined }),
    embedding: fc.option(fc.float32Array({ noNaN: true }))
  })
  .map(({ pairs, logSumExp, embedding }) => ({
    ids: Uint32Array.from(pairs, ([id]) => id),
    logits: Float32Array.from(pairs, ([, logit]) => logit),
    logSumExp,
    ...(embedding !== null && { embedding })
  }))

const result: fc.Arbitrary<EngineStepResult> = fc
  .record({
    hidden: fc.option(fc.uint8Array(), { nil: undefined }),
    candidates: fc.array(candidates),
    queued: fc.double({ noNaN: true }),
    computed: fc.double({ noNaN: true }),
    decode: fc.option(fc.record({ steps: fc.nat(), rows: fc.nat() }))
  })
  .map(({ decode, ...rest }) => ({ ...rest, ...(decode !== null && { decode }) }))

test('a step comes out as it went in, also what the check will refuse', () => {
  fc.assert(
    fc.property(step, offset, (step, offset) => {
      const decoded = STEP.decode(joined(STEP.encode(step), offset))
      expect(plain(decoded)).toEqual(plain(step))
    })
  )
})

test('a result comes out as it went in', () => {
  fc.assert(
    fc.property(result, offset, (result, offset) => {
      const decoded = STEP_RESULT.decode(joined(STEP_RESULT.encode(result), offset))
      expect(plain(decoded)).toEqual(plain(result))
    })
  )
})

test('an element type that does not exist stays one', () => {
  const bad = { shard: 1, sequence: 0, position: 0, rows: 1, leave: 1, dtype: 'f64' }
  const step = { ...bad, want: { rows: 0, candidates: 0, ids: [], logSumExp: false } } as unknown as EngineStep
  expect(STEP.decode(joined(STEP.encode(step), 0)).dtype).toBe('unknown')
})

/** Typed arrays as arrays, so that buffers and views of the same numbers are equal. */
function plain(value: unknown): unknown {
  if (ArrayBuffer.isView(value)) return Array.from(value as unknown as ArrayLike<number>)
  if (Array.isArray(value)) return value.map(plain)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, entry]) => [key, plain(entry)]))
}
