import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { missingLayers } from '../../../node/scheduler/coverage.js'
import { choosePlacement } from '../../../node/scheduler/placement.js'
import type { PlacementRequest } from '../../../node/scheduler/types.js'

type Served = PlacementRequest['served'][number]

const LAYERS = 8

function request(memoryBytes: number, served: Served[] = [], wrong: Partial<PlacementRequest> = {}): PlacementRequest {
  return {
    ...{ layers: LAYERS, cuts: [1, 2, 3, 4, 5, 6, 7], layerBytes: Array<number>(LAYERS).fill(10) },
    ...{ embeddingBytes: 0, headBytes: 0, memoryBytes, layersPerSecond: 100, served, claims: [] },
    ...wrong
  }
}

function serve(start: number, end: number, layersPerSecond = 100): Served {
  return { peer: `${start}-${end}`, start, end, layersPerSecond }
}

function place(memoryBytes: number, served: Served[] = [], wrong: Partial<PlacementRequest> = {}): string {
  const placement = choosePlacement(request(memoryBytes, served, wrong))
  return placement.kind === 'range' ? `${placement.start}-${placement.end}` : `needs ${placement.neededBytes}`
}

describe('nodes that start one after another', () => {
  it.each([
    [100, 100, 100],
    [90, 100, 110],
    [110, 100, 90],
    [1, 1000, 30]
  ])('cover the model side by side, whatever their speeds: %i, %i, %i', (first, second, third) => {
    expect(place(30, [], { layersPerSecond: first })).toBe('0-3')
    expect(place(30, [serve(0, 3, first)], { layersPerSecond: second })).toBe('3-6')
    expect(place(30, [serve(0, 3, first), serve(3, 6, second)], { layersPerSecond: third })).toBe('6-8')
  })

  it('with memory for everything hold everything', () => {
    expect(place(80)).toBe('0-8')
    expect(place(80, [serve(0, 8)])).toBe('0-8')
    expect(place(500, [serve(0, 8), serve(0, 8)])).toBe('0-8')
  })

  it('end up with every layer held when their memory suffices', () => {
    const memories = fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 30 })
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 40 }), memories, fc.array(fc.nat(100)), (layers, capacities, speeds) => {
        const cuts = Array.from({ length: layers - 1 }, (_, index) => index + 1)
        const served: Served[] = []
        for (const [index, capacity] of capacities.entries()) {
          const layersPerSecond = speeds[index] ?? 10
          const asked = { layers, cuts, layerBytes: Array<number>(layers).fill(10), layersPerSecond }
          const placement = choosePlacement(request(capacity * 10, served, asked))
          if (placement.kind !== 'range') return expect.fail('nothing fits')
          served.push({ peer: String(index), layersPerSecond, start: placement.start, end: placement.end })
        }
        const sum = capacities.reduce((total, capacity) => total + capacity, 0)
        const held = layers - missingLayers(layers, served).reduce((total, { start, end }) => total + end - start, 0)
        expect(held).toBe(Math.min(layers, sum))
      })
    )
  })
})

describe('a node that joins', () => {
  it('closes a gap between others', () => {
    expect(place(30, [serve(0, 3), serve(5, 8)])).toBe('3-6')
    expect(place(20, [serve(0, 3), serve(5, 8)])).toBe('3-5')
  })

  it('closes the larger of two gaps', () => {
    expect(place(30, [serve(2, 5)])).toBe('5-8')
  })

  it('helps the slowest layers once all are held', () => {
    const served = [serve(0, 3, 300), serve(3, 6, 30), serve(6, 8, 300)]
    expect(place(30, served)).toBe('3-6')
    expect(place(30, [serve(0, 3), serve(3, 6), serve(6, 8)])).toBe('0-3')
  })

  it('takes only a range that a route could use', () => {
    expect(place(30, [serve(0, 8)])).toBe('5-8')
    expect(place(30, [serve(0, 8), serve(5, 8)])).toBe('2-5')
  })

  it('counts a peer that has not measured itself as holding its layers', () => {
    expect(place(40, [serve(0, 4, 0)])).toBe('4-8')
  })

  it('needs room for the embedding with layer 0 and for the head with the last layer', () => {
    expect(place(30, [], { embeddingBytes: 10 })).toBe('1-4')
    expect(place(30, [serve(0, 5)], { headBytes: 10 })).toBe('5-7')
    expect(place(30, [serve(0, 7)], { headBytes: 20 })).toBe('7-8')
  })

  it('cuts only where the model may be cut', () => {
    expect(place(35, [], { cuts: [4] })).toBe('needs 40')
    expect(place(45, [serve(0, 4)], { cuts: [4] })).toBe('4-8')
    expect(place(35, [], { cuts: [2, 4, 6] })).toBe('0-2')
  })

  it('without room for anything learns how much the smallest range needs', () => {
    expect(place(9)).toBe('needs 10')
    expect(place(9, [], { embeddingBytes: 5, headBytes: 5, cuts: [4] })).toBe('needs 45')
    expect(place(9, [], { cuts: [], embeddingBytes: 5, headBytes: 5 })).toBe('needs 90')
  })
})

describe('any placement', () => {
  const sizes = fc.record({
    cuts: fc.subarray([1, 2, 3, 4, 5, 6, 7]),
    layerBytes: fc.array(fc.integer({ min: 1, max: 20 }), { minLength: LAYERS, maxLength: LAYERS }),
    embeddingBytes: fc.nat(30),
    headBytes: fc.nat(30)
  })
  const ranges = fc.tuple(fc.nat(7), fc.integer({ min: 1, max: 8 })).filter(([start, end]) => start < end)
  const others = fc.array(
    ranges.map(([start, end]) => serve(start, end)),
    { maxLength: 6 }
  )

  it('fits, is cut where allowed, and refuses only what does not fit', () => {
    fc.assert(
      fc.property(sizes, others, fc.nat(150), (model, served, memoryBytes) => {
        const placement = choosePlacement(request(memoryBytes, served, model))
        const bounds = [0, ...model.cuts, LAYERS]
        const bytes = (start: number, end: number): number =>
          model.layerBytes.slice(start, end).reduce((sum, size) => sum + size, 0) +
          (start === 0 ? model.embeddingBytes : 0) +
          (end === LAYERS ? model.headBytes : 0)
        if (placement.kind === 'range') {
          expect(bounds).toContain(placement.start)
          expect(bounds).toContain(placement.end)
          expect(bytes(placement.start, placement.end)).toBeLessThanOrEqual(memoryBytes)
        } else {
          const needed = bounds.slice(1).map((end, index) => bytes(bounds[index] ?? 0, end))
          expect(placement.neededBytes).toBe(Math.min(...needed))
          expect(placement.neededBytes).toBeGreaterThan(memoryBytes)
        }
      })
    )
  })
})
