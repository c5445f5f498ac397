import { afterAll, beforeAll, expect, test } from 'vitest'
import type { EngineProcess } from '../../../node/engine/engine.js'
import type { EngineStep } from '../../../node/engine/types.js'
import { startEngine } from '../../support/engine.js'
import { architectureModels } from '../../support/models.js'
import { type TemporaryFolder, temporaryFolder } from '../../support/temporary.js'
import {
  CONTEXT,
  difference,
  EMBER_VOCABULARY,
  ember,
  EVERYTHING,
  hiddenStep,
  loadRange,
  loadWhole,
  logitsOf,
  NOTHING,
  type Placed,
  rejectionOf,
  throughChain,
  tokenStep
} from './support.js'

/** Of the largest logit: how much rounding depends on which rows are computed together. */
const BATCH_TOLERANCE = 1e-3

let engine: EngineProcess
let folder: TemporaryFolder
let whole: Placed
let lower: Placed
let middle: Placed
let upper: Placed

beforeAll(async () => {
  engine = await startEngine()
  folder = await temporaryFolder()
  whole = await loadWhole(engine)
  lower = await loadRange(engine, folder.path, [0, 3])
  middle = await loadRange(engine, folder.path, [3, 6])
  upper = await loadRange(engine, folder.path, [6, 8])
})

afterAll(async () => {
  await engine.stop()
  await folder.remove()
})

function prompt(length: number, seed = 1): number[] {
  return Array.from({ length }, (_, n) => (n * 37 + seed * 11) % EMBER_VOCABULARY)
}

function floatsOf(bytes: Uint8Array = new Uint8Array()): Float32Array {
  return new Float32Array(bytes.slice().buffer)
}

function f16ToNumber(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1
  const exponent = (bits >> 10) & 0x1f
  const fraction = bits & 0x3ff
  return sign * (exponent === 0 ? fraction * 2 ** -24 : (1 + fraction / 1024) * 2 ** (exponent - 15))
}

test('a chain of shards gives the very logits of the whole model, at the prompt and after it', async () => {
  const upperHalf = await loadRange(engine, folder.path, [3, 8])
  let tokens = prompt(40)
  let position = 0
  for (let n = 0; n < 6; n++) {
    const expected = logitsOf(await engine.step(tokenStep(whole, tokens, position)))
    const three = logitsOf(await throughChain(engine, [lower, middle, upper], tokens, { position }))
    const two = logitsOf(await throughChain(engine, [lower, upperHalf], tokens, { position, sequence: 1 }))
    expect(expected).toHaveLength(EMBER_VOCABULARY)
    expect(three).toEqual(expected)
    expect(two).toEqual(expected)
    position += tokens.length
    tokens = [expected.indexOf(Math.max(...expected))]
  }
  await engine.unload(upperHalf.id)
})

test('a shard may be left before its end, and the next one takes over from there', async () => {
  const early = await loadRange(engine, folder.path, [2, 8])
  const first = tokenStep(lower, prompt(20), 0, { leave: 2 })
  const left = await engine.step(first)
  const result = await engine.step(hiddenStep(early, first, left.hidden))
  const expected = await engine.step(tokenStep(whole, prompt(20), 0))
  expect(logitsOf(result)).toEqual(logitsOf(expected))
  const deeper = tokenStep(lower, [1], 20, { leave: 3 })
  expect(await rejectionOf(engine.step(deeper))).toBe('LEAVE_DEEPER')
  await engine.unload(early.id)
})

test('the whole model can be left at any layer', async () => {
  const hidden = await engine.step(tokenStep(whole, prompt(9), 0, { leave: 3 }))
  const expected = await engine.step(tokenStep(lower, prompt(9), 0))
  expect(hidden.hidden).toEqual(expected.hidden)
})

test('sequences in one decode get what each gets alone', async () => {
  const lengths = [5, 17, 1, 30]
  const alone = []
  for (const [n, length] of lengths.entries()) {
    alone.push(logitsOf(await engine.step(tokenStep(whole, prompt(length, n), 0))))
  }
  const together = await Promise.all(
    lengths.map((length, n) => engine.step(tokenStep(whole, prompt(length, n), 0, { sequence: n })))
  )
  // The first goes alone, or all do, when the process is quick to start; most went together.
  expect(new Set(together.map(({ computed }) => computed)).size).toBeLessThan(lengths.length)
  // Each decode is told once, by one of its steps.
  const decodes = together.flatMap(({ decode }) => decode ?? [])
  expect(decodes.reduce((sum, { steps }) => sum + steps, 0)).toBe(lengths.length)
  expect(decodes.reduce((sum, { rows }) => sum + rows, 0)).toBe(lengths.reduce((sum, length) => sum + length))
  expect(decodes.length).toBe(new Set(together.map(({ computed }) => computed)).size)
  for (const [n, result] of together.entries()) {
    expect(difference(alone[n] ?? new Float32Array(), logitsOf(result))).toBeLessThan(BATCH_TOLERANCE)
  }
})

test('steps of one sequence that are sent at once are computed in order', async () => {
  const tokens = prompt(12)
  const expected = await engine.step(tokenStep(whole, tokens, 0))
  const steps = tokens.map((token, position) => engine.step(tokenStep(whole, [token], position, { sequence: 2 })))
  const results = await Promise.all(steps)
  const last = results.at(-1)
  expect(difference(logitsOf(expected), last ? logitsOf(last) : new Float32Array())).toBeLessThan(BATCH_TOLERANCE)
})

test('a step at an earlier position replaces what the sequence had from there', async () => {
  const tokens = prompt(16)
  await engine.step(tokenStep(whole, tokens, 0))
  const expected = await engine.step(tokenStep(whole, [7], 16))
  await engine.step(tokenStep(whole, prompt(10, 5), 16))
  const again = await engine.step(tokenStep(whole, [7], 16))
  expect(logitsOf(again)).toEqual(logitsOf(expected))
})

test('a released sequence starts again from nothing', async () => {
  await engine.step(tokenStep(whole, prompt(4), 0, { sequence: 3 }))
  await engine.release(whole.id, 3)
  expect(await rejectionOf(engine.step(tokenStep(whole, [1], 4, { sequence: 3 })))).toBe('POSITION_GAP')
  expect(await rejectionOf(engine.step(tokenStep(whole, [1], 0, { sequence: 3 })))).toBeUndefined()
})

test('hidden states go out and come in as f16, rounded once', async () => {
  const tokens = tokenStep(lower, prompt(20), 0)
  const exact = floatsOf((await engine.step(tokens)).hidden)
  const halves = (await engine.step({ ...tokens, dtype: 'f16' })).hidden
  const rounded = Float32Array.from(new Uint16Array((halves ?? new Uint8Array()).slice().buffer), f16ToNumber)
  expect(rounded).toHaveLength(20 * lower.width)
  rounded.forEach((value, n) => {
    expect(Math.abs(value - (exact[n] ?? NaN))).toBeLessThanOrEqual(Math.abs(value) * 2 ** -11 + 2 ** -25)
  })
  const fromHalves = await engine.step(hiddenStep(middle, { ...tokens, dtype: 'f16' }, halves))
  const fromRounded = await engine.step({
    ...hiddenStep(middle, { ...tokens, dtype: 'f16' }, undefined),
    hidden: { dtype: 'f32', bytes: new Uint8Array(rounded.buffer) }
  })
  expect(fromHalves.hidden).toEqual(fromRounded.hidden)
})

test('the head answers for as many of the last rows as are wanted, or for none', async () => {
  const tokens = prompt(8)
  const want = { rows: 3, candidates: 2, ids: [5, 9], logSumExp: true }
  const { candidates, hidden } = await engine.step(tokenStep(whole, tokens, 0, { want }))
  expect(hidden).toBeUndefined()
  expect(candidates).toHaveLength(3)
  for (const [n, row] of candidates.entries()) {
    const until = tokens.slice(0, 6 + n)
    const logits = logitsOf(await engine.step(tokenStep(whole, until, 0, { sequence: 1 })))
    expect([...row.ids.slice(2)]).toEqual([5, 9])
    expect(row.ids[0]).toBe(logits.indexOf(Math.max(...logits)))
    expect(row.logSumExp).toBeCloseTo(Math.log([...logits].reduce((sum, logit) => sum + Math.exp(logit), 0)), 1)
  }
  const silent = await engine.step(tokenStep(whole, tokens, 0, { want: NOTHING }))
  expect(silent.candidates).toEqual([])
})

test('what llama.cpp would not like is refused, and other sequences go on undisturbed', async () => {
  const bystander = (position: number, tokens: number[]): EngineStep =>
    tokenStep(whole, tokens, position, { sequence: 3 })
  await engine.step(bystander(0, prompt(10)))
  const expected = logitsOf(await engine.step(bystander(10, [3])))
  const good = hiddenStep(middle, tokenStep(lower, [1, 2], 0), new Uint8Array(2 * middle.width * 4))
  const hiddenOf = (value: number): EngineStep['hidden'] => {
    const values = new Float32Array(2 * middle.width).fill(0.1)
    values[5] = value
    return { dtype: 'f32', bytes: new Uint8Array(values.buffer) }
  }
  const halves = new Uint16Array(2 * middle.width).fill(0x7c00)
  const refused: [EngineStep, string][] = [
    [{ ...good, hidden: hiddenOf(NaN) ?? { dtype: 'f32', bytes: new Uint8Array() } }, 'NOT_FINITE'],
    [{ ...good, hidden: hiddenOf(-Infinity) ?? { dtype: 'f32', bytes: new Uint8Array() } }, 'NOT_FINITE'],
    [{ ...good, hidden: { dtype: 'f16', bytes: new Uint8Array(halves.buffer) } }, 'NOT_FINITE'],
    [{ ...good, hidden: { dtype: 'f32', bytes: new Uint8Array(12) } }, 'BAD_STEP'],
    [{ ...good, shard: 999 }, 'UNKNOWN_SHARD'],
    [{ ...good, sequence: 4 }, 'BAD_STEP'],
    [{ ...good, position: 200 }, 'POSITION_GAP'],
    [{ ...good, leave: 8 }, 'BAD_STEP'],
    [tokenStep(whole, [EMBER_VOCABULARY], 0), 'BAD_STEP'],
    [tokenStep(whole, [0xffffffff], 0), 'BAD_STEP'],
    [tokenStep(whole, prompt(65), 0), 'BAD_STEP'],
    [tokenStep(whole, [], 0), 'BAD_STEP'],
    [tokenStep(whole, [1], 0, { want: { ...EVERYTHING, rows: 2 } }), 'BAD_STEP'],
    [tokenStep(whole, [1], 0, { leave: 3, want: EVERYTHING }), 'BAD_STEP']
  ]
  for (const [step, code] of refused) expect([code, await rejectionOf(engine.step(step))]).toEqual([code, code])
  const together = await Promise.all([
    rejectionOf(engine.step(tokenStep(whole, [EMBER_VOCABULARY], 0))),
    engine.step(bystander(10, [3]))
  ])
  expect(together[0]).toBe('BAD_STEP')
  expect(logitsOf(together[1])).toEqual(expected)
})

test('finite but absurd hidden states neither kill the engine nor reach another sequence', async () => {
  const tokens = tokenStep(lower, prompt(6), 0)
  const { hidden } = await engine.step(tokens)
  const expected = await engine.step(hiddenStep(middle, tokens, hidden))
  const absurd = new Float32Array(6 * middle.width).fill(3e38)
  const attack = hiddenStep(middle, { ...tokens, sequence: 1 }, new Uint8Array(absurd.buffer))
  const answers = await Promise.allSettled([engine.step(attack), engine.step(hiddenStep(middle, tokens, hidden))])
  const [, neighbour] = answers
  expect(neighbour.status).toBe('fulfilled')
  const after = await engine.step(hiddenStep(middle, tokens, hidden))
  expect(after.hidden).toEqual(expected.hidden)
})

test('the context is shared: a step that does not fit is refused until another sequence is released', async () => {
  const small = await loadWhole(engine, ember, { context: 64, sequences: 2, batch: 64 })
  await engine.step(tokenStep(small, prompt(40), 0))
  const second = tokenStep(small, prompt(40), 0, { sequence: 1 })
  expect(await rejectionOf(engine.step(second))).toBe('CONTEXT_FULL')
  await engine.release(small.id, 0)
  expect(await rejectionOf(engine.step(second))).toBeUndefined()
  await engine.unload(small.id)
  expect(await rejectionOf(engine.step(second))).toBe('UNKNOWN_SHARD')
})

test('a file that is not the range that it should be is not loaded', async () => {
  const place = { architecture: 'llama', start: 0, end: 4, layers: 8 }
  expect(await rejectionOf(engine.load({ file: ember.file, ...place }, CONTEXT))).toBe('LOAD_FAILED')
  const missing = { file: folder.file('missing.gguf'), ...place }
  expect(await rejectionOf(engine.load(missing, CONTEXT))).toBe('LOAD_FAILED')
})

test('why llama.cpp did not load a file is in the error', async () => {
  const file = { file: import.meta.filename, architecture: 'llama', start: 0, end: 8, layers: 8 }
  await expect(engine.load(file, CONTEXT)).rejects.toThrow(/failed to load/)
})

const recurrent = architectureModels().get('qwen35')

test.skipIf(recurrent === undefined)('a recurrent model that cannot go back says so and keeps its state', async () => {
  const shard = await loadWhole(engine, { file: recurrent ?? '', architecture: 'qwen35', layers: 8 })
  await engine.step(tokenStep(shard, [1, 2, 3, 4], 0))
  const expected = logitsOf(await engine.step(tokenStep(shard, [5], 4)))
  expect(await rejectionOf(engine.step(tokenStep(shard, [9], 2)))).toBe('CANNOT_TRUNCATE')
  expect(await rejectionOf(engine.step(tokenStep(shard, [6], 5)))).toBeUndefined()
  await engine.step(tokenStep(shard, [1, 2, 3, 4], 0))
  expect(logitsOf(await engine.step(tokenStep(shard, [5], 4)))).toEqual(expected)
  await engine.unload(shard.id)
})
