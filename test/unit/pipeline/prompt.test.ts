import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { LEAST_CHUNK_ROWS, chunkRows } from '../../../node/pipeline/prompt.js'

describe('prompt chunks', () => {
  it('are as large as they may be on a route of one stage', () => {
    expect(chunkRows(1_000, { stages: 1, rowsPerStep: 512 })).toEqual([512, 488])
  })

  it('are several on a longer route, so that stages overlap', () => {
    expect(chunkRows(400, { stages: 2, rowsPerStep: 512 })).toEqual([100, 100, 100, 100])
  })

  it('are not cut smaller than pays', () => {
    expect(chunkRows(20, { stages: 3, rowsPerStep: 512 })).toEqual([20])
  })

  it('add up to the prompt, within the limit of every stage', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 9_000 }),
        fc.integer({ min: 1, max: 8 }),
        fc.integer({ min: 1, max: 512 }),
        (rows, stages, rowsPerStep) => {
          const chunks = chunkRows(rows, { stages, rowsPerStep })
          expect(chunks.reduce((a, b) => a + b, 0)).toBe(rows)
          for (const [i, chunk] of chunks.entries()) {
            expect(chunk).toBeGreaterThan(0)
            expect(chunk).toBeLessThanOrEqual(rowsPerStep)
            if (i < chunks.length - 1) expect(chunk).toBeGreaterThanOrEqual(Math.min(rowsPerStep, LEAST_CHUNK_ROWS))
          }
        }
      )
    )
  })
})
