import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { LEAST_CHUNK_ROWS, TILED_FROM, TILE_ROWS, chunkRows } from '../../../node/pipeline/prompt.js'

describe('prompt chunks', () => {
  it('are as large as they may be on a route of one stage', () => {
    expect(chunkRows(1_000, { from: 0, stages: 1, rowsPerStep: 512 })).toEqual([500, 500])
  })

  it('are several on a longer route, so that stages overlap', () => {
    expect(chunkRows(400, { from: 0, stages: 2, rowsPerStep: 512 })).toEqual([100, 100, 100, 100])
  })

  it('are not cut smaller than pays', () => {
    expect(chunkRows(20, { from: 0, stages: 3, rowsPerStep: 512 })).toEqual([20])
    expect(chunkRows(100, { from: 0, stages: 3, rowsPerStep: 512 })).toEqual([34, 33, 33])
    expect(chunkRows(520, { from: 0, stages: 1, rowsPerStep: 512 })).toEqual([260, 260])
  })

  it('are larger where much comes before them', () => {
    expect(chunkRows(200, { from: TILED_FROM - 1, stages: 2, rowsPerStep: 512 })).toEqual([50, 50, 50, 50])
    expect(chunkRows(200, { from: TILED_FROM, stages: 2, rowsPerStep: 512 })).toEqual([67, 67, 66])
    expect(chunkRows(100, { from: TILED_FROM, stages: 2, rowsPerStep: 512 })).toEqual([100])
  })

  it('add up to the prompt, within the limit of every stage', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 9_000 }),
        fc.constantFrom(0, TILED_FROM),
        fc.integer({ min: 1, max: 8 }),
        fc.integer({ min: 1, max: 512 }),
        (rows, from, stages, rowsPerStep) => {
          const chunks = chunkRows(rows, { from, stages, rowsPerStep })
          expect(chunks.reduce((a, b) => a + b, 0)).toBe(rows)
          expect(Math.max(...chunks)).toBeLessThanOrEqual(rowsPerStep)
          // A limit may leave no other choice than halves of what is worth a step.
          const worth = from === 0 ? LEAST_CHUNK_ROWS : TILE_ROWS
          const least = Math.max(1, Math.min(rows, worth, Math.floor(rowsPerStep / 2)))
          expect(Math.min(...chunks)).toBeGreaterThanOrEqual(least)
        }
      )
    )
  })
})
