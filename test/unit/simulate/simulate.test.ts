import { describe, expect, it } from 'vitest'
import { Clock } from '../../simulate/clock.js'
import { bestThroughput } from '../../simulate/optimum.js'
import { petalsMoves, petalsStart } from '../../simulate/petals.js'
import { Random } from '../../simulate/random.js'
import { simulate } from '../../simulate/run.js'
import { modelOf, type Scenario } from '../../simulate/scenario.js'
import { compare, OPTIMUM_TARGET, shortfalls, smallCases } from '../../simulate/suite.js'

const SWARM: Scenario = { nodes: 60, layers: 24, hours: 4, seed: 3, stayHours: 4, fits: { least: 3, most: 12 } }

describe('the clock', () => {
  it('runs what is due in order, and of the same moment what was asked for first', () => {
    const clock = new Clock()
    const ran: string[] = []
    const random = new Random(1)
    for (let n = 0; n < 200; n++) {
      const at = random.integer(0, 20)
      clock.after(at, () => ran.push(`${String(at).padStart(2, '0')} ${String(n).padStart(3, '0')}`))
    }
    clock.runUntil(10)
    expect(clock.now).toBe(10)
    expect(ran).toEqual(ran.toSorted())
    expect(ran.every(text => Number(text.slice(0, 2)) <= 10)).toBe(true)
    clock.runUntil(20)
    expect(ran).toHaveLength(200)
  })
})

describe('the best possible throughput', () => {
  const size = modelOf({ layers: 4 })
  const holder = (peer: string, memoryBytes: number, layersPerSecond: number) => ({
    peer,
    memoryBytes,
    layersPerSecond
  })

  it('is that of the best assignment', () => {
    expect(bestThroughput(size, [holder('a', 2, 10), holder('b', 2, 10)])).toBe(5)
    expect(bestThroughput(size, [holder('a', 4, 8), holder('b', 4, 8)])).toBe(4)
    expect(bestThroughput(size, [holder('a', 2, 10), holder('b', 2, 20), holder('c', 2, 10)])).toBe(10)
  })

  it('is nothing where the nodes cannot hold the model', () => {
    expect(bestThroughput(size, [holder('a', 2, 10), holder('b', 1, 10)])).toBe(0)
  })
})

describe("Petals' rule", () => {
  const server = (peer: string, start: number, layersPerSecond = 10) => ({
    peer,
    start,
    end: start + 2,
    layersPerSecond
  })
  const own = { peer: 'a', random: new Random(1) }

  it('begins where the sorted throughputs are smallest', () => {
    expect(petalsStart([5, 1, 3, 1, 1, 9], 2)).toBe(3)
    expect(petalsStart([0, 0, 0, 0], 2)).toBe(0)
  })

  it('moves when the swarm would be much better for it, and not when that opened a hole', () => {
    const crowded = [server('a', 0), server('b', 0), server('c', 0), server('d', 2, 10)]
    expect(petalsMoves(4, crowded, own)).toBe(true)
    expect(petalsMoves(4, [server('a', 0), server('b', 2), server('c', 2), server('d', 2)], own)).toBe(false)
    expect(petalsMoves(4, [server('a', 0), server('b', 0), server('c', 2), server('d', 2)], own)).toBe(false)
  })
})

describe('a simulation', () => {
  it('is the same for the same seed', () => {
    const outcome = () => ({ ...simulate('flambeau', { ...SWARM, nodes: 8, layers: 8 }), lookMilliseconds: 0 })
    expect(outcome()).toEqual(outcome())
  })

  it("has the slowest layer at least as fast as by Petals' rule, with fewer moves and no more holes", () => {
    expect(shortfalls([], [compare(SWARM, { withPetals: true })])).toEqual([])
  })

  it('brings small swarms near the best possible', () => {
    for (const { flambeau, petals } of smallCases(6, 1)) {
      expect(flambeau).toBeLessThanOrEqual(1 + 1e-9)
      expect(flambeau).toBeGreaterThan(OPTIMUM_TARGET)
      expect(flambeau).toBeGreaterThanOrEqual(petals - 1e-9)
    }
  })
})
