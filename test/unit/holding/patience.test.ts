import { expect, it } from 'vitest'
import { Patience } from '../../../node/holding/patience.js'
import type { PlacedNode } from '../../../node/scheduler/types.js'

const HOUR = 3_600_000

const node = (peer: string, start = 0): PlacedNode => ({ peer, start, end: 4, layersPerSecond: 100, memoryBytes: 1e9 })

it('who is awaited for a day counts as staying, until it serves something else', () => {
  const clock = { now: 0 }
  const patience = new Patience({ now: () => clock.now })
  const [due, other] = [node('due'), node('other')]
  patience.waitFor(due)
  clock.now = 12 * HOUR
  patience.waitFor(due)
  patience.waitFor(other)
  clock.now = 24 * HOUR - 1
  expect(patience.judged([due, other])).toEqual([due, other])
  clock.now = 24 * HOUR
  expect(patience.judged([due, other])).toEqual([{ ...due, memoryBytes: undefined }, other])
  expect(patience.judged([node('due', 2), other])).toEqual([node('due', 2), other])
  // It was away meanwhile, and what it was awaited for is long ago.
  expect(patience.judged([due, other])).toEqual([due, other])
})
