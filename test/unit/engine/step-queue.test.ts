import { expect, test } from 'vitest'
import { type QueuedStep, StepQueue } from '../../../node/engine/step-queue.js'
import type { EngineStep } from '../../../node/engine/types.js'

const WANT = { rows: 0, candidates: 0, ids: [], logSumExp: false }

function queueOf(...steps: Partial<EngineStep>[]): { queue: StepQueue; rejected: unknown[] } {
  const queue = new StepQueue()
  const rejected: unknown[] = []
  for (const step of steps) {
    const tokens = new Uint32Array(step.rows ?? 1)
    const whole: EngineStep = {
      shard: 1,
      sequence: 0,
      position: 0,
      rows: 1,
      leave: 4,
      dtype: 'f32',
      want: WANT,
      ...step
    }
    const input = step.hidden === undefined ? { ...whole, tokens } : whole
    queue.push({ step: input, arrived: 0, resolve: () => undefined, reject: error => void rejected.push(error) })
  }
  return { queue, rejected }
}

function places(taken: QueuedStep[]): [sequence: number, position: number][] {
  return taken.map(({ step }) => [step.sequence, step.position])
}

test('steps of different sequences go together, those of one sequence one after the other', () => {
  const { queue } = queueOf({ sequence: 0 }, { sequence: 1 }, { sequence: 0, position: 1 }, { sequence: 2 })
  expect(places(queue.take(8))).toEqual([
    [0, 0],
    [1, 0],
    [2, 0]
  ])
  expect(places(queue.take(8))).toEqual([[0, 1]])
  expect(queue.take(8)).toEqual([])
})

test('a step that does not fit waits, and so do the later ones of its sequence', () => {
  const { queue } = queueOf(
    { sequence: 0, rows: 3 },
    { sequence: 1, rows: 6 },
    { sequence: 1, position: 6, rows: 1 },
    { sequence: 2, rows: 5 }
  )
  expect(places(queue.take(8))).toEqual([
    [0, 0],
    [2, 0]
  ])
  expect(places(queue.take(8))).toEqual([[1, 0]])
  expect(places(queue.take(8))).toEqual([[1, 6]])
})

test('steps for embeddings and steps for candidates wait for each other', () => {
  const embedding = { ...WANT, rows: 1, embedding: true }
  const candidates = { ...WANT, rows: 1, candidates: 1 }
  const { queue } = queueOf(
    { sequence: 0, want: candidates },
    { sequence: 1, want: embedding },
    { sequence: 2 },
    { sequence: 3, want: embedding }
  )
  expect(places(queue.take(8))).toEqual([
    [0, 0],
    [2, 0]
  ])
  expect(places(queue.take(8))).toEqual([
    [1, 0],
    [3, 0]
  ])
})

test('steps that leave elsewhere or bring another kind of input wait for a decode of their own', () => {
  const hidden = { dtype: 'f32' as const, bytes: new Uint8Array(4) }
  const { queue } = queueOf({ sequence: 0 }, { sequence: 1, leave: 3 }, { sequence: 2, hidden }, { sequence: 3 })
  expect(places(queue.take(8))).toEqual([
    [0, 0],
    [3, 0]
  ])
  expect(places(queue.take(8))).toEqual([[1, 0]])
  expect(places(queue.take(8))).toEqual([[2, 0]])
})

test('the oldest step is taken even when it is too large, so that it is refused and not stuck', () => {
  const { queue } = queueOf({ sequence: 0, rows: 9 }, { sequence: 1 })
  expect(places(queue.take(8))).toEqual([[0, 0]])
  expect(places(queue.take(8))).toEqual([[1, 0]])
})

test('cancelling a sequence rejects its steps only', () => {
  const { queue, rejected } = queueOf({ sequence: 0 }, { sequence: 1 }, { sequence: 0, position: 1 })
  queue.cancel(0)
  expect(rejected).toMatchObject([{ code: 'RELEASED' }, { code: 'RELEASED' }])
  expect(places(queue.take(8))).toEqual([[1, 0]])
})
