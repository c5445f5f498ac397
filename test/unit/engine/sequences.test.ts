import { expect, test } from 'vitest'
import { Sequences } from '../../../node/engine/sequences.js'
import { codeOf } from './support.js'

const LEAVE = 4

function step(sequence: number, position: number, rows: number, leave = LEAVE) {
  return { sequence, position, rows, leave }
}

test('a step may start anywhere up to the end of what the sequence holds', () => {
  const sequences = new Sequences(16)
  sequences.append(step(0, 0, 5))
  expect(() => sequences.check(step(0, 5, 1))).not.toThrow()
  expect(() => sequences.check(step(0, 2, 1))).not.toThrow()
  expect(codeOf(() => sequences.check(step(0, 6, 1)))).toBe('POSITION_GAP')
  expect(codeOf(() => sequences.check(step(1, 1, 1)))).toBe('POSITION_GAP')
})

test('all sequences share the positions of the context', () => {
  const sequences = new Sequences(10)
  sequences.append(step(0, 0, 6))
  expect(codeOf(() => sequences.check(step(1, 0, 5)))).toBe('CONTEXT_FULL')
  expect(codeOf(() => sequences.check(step(1, 0, 4), 1))).toBe('CONTEXT_FULL')
  expect(() => sequences.check(step(1, 0, 4))).not.toThrow()
  // What a step overwrites is free again.
  expect(() => sequences.check(step(0, 0, 10))).not.toThrow()
  sequences.truncate(0, 2)
  expect(() => sequences.check(step(1, 0, 8))).not.toThrow()
  sequences.drop(0)
  expect(() => sequences.check(step(1, 0, 10))).not.toThrow()
})

test('a sequence that left early cannot go deeper later, unless it starts again', () => {
  const sequences = new Sequences(16)
  sequences.append(step(0, 0, 4, 3))
  expect(codeOf(() => sequences.check(step(0, 4, 1, 4)))).toBe('LEAVE_DEEPER')
  expect(() => sequences.check(step(0, 4, 1, 2))).not.toThrow()
  sequences.append(step(0, 4, 1, 2))
  expect(codeOf(() => sequences.check(step(0, 5, 1, 3)))).toBe('LEAVE_DEEPER')
  expect(() => sequences.check(step(0, 0, 1, 8))).not.toThrow()
  sequences.append(step(0, 0, 1, 8))
  expect(() => sequences.check(step(0, 1, 1, 8))).not.toThrow()
})
