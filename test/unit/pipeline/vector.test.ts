import fc from 'fast-check'
import { expect, test } from 'vitest'
import { magnitude, unitVector } from '../../../node/pipeline/vector.js'

test('a unit vector has the length 1 and the direction of what it was made of, whatever its size', () => {
  const values = fc.float32Array({ minLength: 1, maxLength: 50, noNaN: true, noDefaultInfinity: true })
  fc.assert(
    fc.property(values, fc.integer({ min: 1, max: 50 }), (vector, dimensions) => {
      const unit = unitVector(vector, dimensions)
      expect(unit).toHaveLength(Math.min(dimensions, vector.length))
      const size = magnitude(vector.slice(0, dimensions))
      expect(magnitude(unit)).toBeCloseTo(size === 0 ? 0 : 1, 5)
      const along = unit.reduce((sum, value, i) => sum + value * (vector[i] ?? NaN), 0)
      if (size > 0) expect(along / size).toBeCloseTo(1, 5)
    })
  )
})

test('what is cut is scaled again', () => {
  expect(unitVector(Float32Array.of(3, 4, 12), 2)).toEqual(Float32Array.of(0.6, 0.8))
})
