import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { isComplete } from '../../../node/scheduler/chain.js'
import { afterClaims, precedingClaims } from '../../../node/scheduler/claims.js'
import { missingLayers } from '../../../node/scheduler/coverage.js'
import { choosePlacement } from '../../../node/scheduler/placement.js'
import { lookAgainAfter, rebalance } from '../../../node/scheduler/rebalance.js'
import { mayLeave } from '../../../node/scheduler/relocation.js'
import { slowest, softMinimum, usableRates } from '../../../node/scheduler/throughput.js'
import type { PlacedNode, RebalanceRequest } from '../../../node/scheduler/types.js'

const LAYERS = 8
const SIZE = { layers: LAYERS, cuts: [1, 2, 3, 4, 5, 6, 7], layerBytes: Array<number>(LAYERS).fill(10) }
/** For which a node has served its layers, unless more is said: any move that helps at all pays. */
const LONG_SECONDS = 1e6
const ENDS = { embeddingBytes: 0, headBytes: 0 }

/** With just enough memory for its layers, unless more is said. */
function node(peer: string, start: number, end: number, more: Partial<PlacedNode> = {}): PlacedNode {
  return { peer, start, end, layersPerSecond: 100, memoryBytes: (end - start) * 10, ...more }
}

function request(own: PlacedNode, served: PlacedNode[], more: Partial<RebalanceRequest> = {}): RebalanceRequest {
  const { peer, start, end, layersPerSecond, memoryBytes = 0 } = own
  const settled = { claims: [], servedSeconds: LONG_SECONDS }
  return { ...SIZE, ...ENDS, peer, range: { start, end }, layersPerSecond, memoryBytes, served, ...settled, ...more }
}

function decide(own: PlacedNode, served: PlacedNode[], more: Partial<RebalanceRequest> = {}): string {
  const found = rebalance(request(own, served, more))
  return found.kind === 'stay' ? 'stay' : `${found.start}-${found.end}`
}

/** A look at so many placements takes its time. */
const RUNS = { numRuns: 10 }

function without(nodes: readonly PlacedNode[], { peer }: PlacedNode): PlacedNode[] {
  return nodes.filter(other => other.peer !== peer)
}

interface Settling {
  more?: Partial<RebalanceRequest>
  /** Fewer moves than this. */
  most: number
  onMove?: (mover: PlacedNode, to: PlacedNode, others: PlacedNode[]) => void
}

/** Everybody looks in turn until nobody moves any more. */
function settle(nodes: PlacedNode[], { more, most, onMove }: Settling): { nodes: PlacedNode[]; moves: number } {
  let now = nodes
  let moves = 0
  for (let moved = true; moved;) {
    moved = false
    for (const { peer } of nodes) {
      const mover = now.find(other => other.peer === peer) ?? expect.fail('a node is gone')
      const others = without(now, mover)
      const found = rebalance(request(mover, others, more))
      if (found.kind === 'stay') continue
      const to = { ...mover, start: found.start, end: found.end }
      onMove?.(mover, to, others)
      now = now.map(other => (other === mover ? to : other))
      moved = true
      expect(++moves).toBeLessThan(most)
    }
  }
  return { nodes: now, moves }
}

describe('a node', () => {
  it('that holds what another one holds too closes a hole', () => {
    expect(decide(node('b', 0, 4), [node('a', 0, 4)])).toBe('4-8')
  })

  it('does not leave a hole to close another one', () => {
    expect(decide(node('a', 0, 4), [])).toBe('stay')
    expect(decide(node('a', 0, 4), [node('b', 2, 4)])).toBe('stay')
  })

  it('leaves a hole that somebody has claimed to them', () => {
    expect(decide(node('b', 0, 4), [node('a', 0, 4)], { claims: [node('c', 4, 8)] })).toBe('stay')
    expect(decide(node('b', 0, 4), [node('a', 0, 4)], { claims: [node('c', 5, 8)] })).toBe('1-5')
  })

  it('does not count on those who are about to leave', () => {
    const served = [node('a', 0, 4), node('c', 0, 4)]
    const claims = [node('a', 4, 6)]
    expect(decide(node('b', 0, 4), [node('a', 0, 4)], { claims })).toBe('stay')
    expect(decide(node('b', 0, 4), served, { claims })).toBe('6-8')
    expect(mayLeave(request(node('b', 0, 4), [node('a', 0, 4)], { claims }), { start: 4, end: 8 })).toBe(false)
    expect(mayLeave(request(node('b', 0, 4), served, { claims }), { start: 4, end: 8 })).toBe(true)
  })

  it('goes where the slowest layers are', () => {
    const served = [node('a', 0, 4, { layersPerSecond: 400 }), node('c', 4, 8, { layersPerSecond: 40 })]
    expect(decide(node('b', 0, 4), served)).toBe('4-8')
  })

  it('stays where a move gains less than it must', () => {
    const served = [node('a', 0, 4, { layersPerSecond: 400 }), node('c', 4, 8, { layersPerSecond: 400 })]
    expect(decide(node('b', 0, 4, { layersPerSecond: 4 }), served)).toBe('stay')
  })

  it('moves the sooner the more that gains, and at once to close a hole', () => {
    const lately = { servedSeconds: 600 }
    const served = [node('a', 0, 4, { layersPerSecond: 400 }), node('c', 4, 8, { layersPerSecond: 40 })]
    // With a move the slowest layers have 35 tokens per second instead of 10.
    expect(decide(node('b', 0, 4), served, lately)).toBe('4-8')
    const faster = [node('a', 0, 4, { layersPerSecond: 400 }), node('c', 4, 8, { layersPerSecond: 250 })]
    expect(decide(node('b', 0, 4), faster, lately)).toBe('stay')
    expect(decide(node('b', 0, 4), faster)).toBe('4-8')
    expect(decide(node('b', 0, 4), [node('a', 0, 4)], { servedSeconds: 0 })).toBe('4-8')
  })

  it('waits while another one goes elsewhere', () => {
    const served = [node('a', 0, 4, { layersPerSecond: 400 }), node('c', 4, 8, { layersPerSecond: 40 })]
    expect(decide(node('b', 0, 4), served, { claims: [node('c', 4, 6)] })).toBe('stay')
  })

  it('does not wait for those who join, and counts them where they will serve', () => {
    const served = [node('a', 0, 4, { layersPerSecond: 400 }), node('c', 4, 8, { layersPerSecond: 40 })]
    expect(decide(node('b', 0, 4), served, { claims: [node('d', 0, 2, { layersPerSecond: 1 })] })).toBe('4-8')
    expect(decide(node('b', 0, 4), served, { claims: [node('d', 4, 8, { layersPerSecond: 1_000 })] })).toBe('stay')
  })

  it('does not leave its layers to one who joins', () => {
    const slow = [node('c', 4, 8, { layersPerSecond: 1 })]
    const claims = [node('d', 0, 4, { layersPerSecond: 1_000 })]
    expect(decide(node('b', 0, 4), [...slow, ...claims])).toBe('4-8')
    expect(decide(node('b', 0, 4), slow, { claims })).toBe('stay')
  })

  it('with room for both ranges needs nobody else for the layers that it leaves and keeps', () => {
    const slow = [node('a', 0, 2), node('c', 2, 8, { layersPerSecond: 1, memoryBytes: undefined })]
    expect(mayLeave(request(node('b', 2, 4), slow), { start: 4, end: 6 })).toBe(true)
    const alone = [node('a', 0, 2), node('c', 4, 8)]
    expect(mayLeave(request(node('b', 2, 4), alone), { start: 2, end: 5 })).toBe(false)
    expect(mayLeave(request(node('b', 2, 4, { memoryBytes: 50 }), alone), { start: 2, end: 5 })).toBe(true)
  })

  it('lets another one move that helps more', () => {
    const [fast, middle] = [node('a', 0, 4, { layersPerSecond: 1_000 }), node('c', 0, 4, { layersPerSecond: 500 })]
    const slow = node('b', 4, 8, { layersPerSecond: 10 })
    expect(decide(fast, [slow, middle])).toBe('stay')
    expect(decide(middle, [slow, fast])).toBe('4-8')
    expect(decide(slow, [fast, middle])).toBe('stay')
  })

  it('makes a single move that helps less only until the best plan pays', () => {
    const [c, d] = [node('c', 6, 8, { layersPerSecond: 400 }), node('d', 2, 4, { layersPerSecond: 400 })]
    const slow = [node('a', 4, 8, { layersPerSecond: 200 }), node('b', 0, 4)]
    // d at 4-6 and one more move make the slowest layers three times as fast, c at 0-2 alone twice.
    const after = (servedSeconds: number): string[] => [
      decide(c, [...slow, d], { servedSeconds }),
      decide(d, [...slow, c], { servedSeconds })
    ]
    expect(after(600)).toEqual(['stay', 'stay'])
    expect(after(800)).toEqual(['0-2', 'stay'])
    expect(after(1_200)).toEqual(['stay', '4-6'])
  })

  it('does not wait for one that will not move', () => {
    const middle = node('c', 0, 4, { layersPerSecond: 500, memoryBytes: undefined })
    const slow = node('b', 4, 8, { layersPerSecond: 10 })
    expect(decide(node('a', 0, 4, { layersPerSecond: 1_000 }), [slow, middle])).toBe('4-8')
  })
})

describe('a node of a larger swarm', () => {
  const layers = 32
  const cuts = Array.from({ length: layers - 1 }, (_, index) => index + 1)
  const large = { layers, cuts, layerBytes: Array<number>(layers).fill(10) }
  /** Nodes that serve each quarter. */
  const quarters = (...counts: number[]): PlacedNode[] =>
    counts.flatMap((count, quarter) =>
      Array.from({ length: count }, (_, index) => node(`${quarter}-${index}`, quarter * 8, quarter * 8 + 8))
    )
  const own = node('own', 0, 8)
  const decideInLarge = (served: PlacedNode[], more: Partial<RebalanceRequest> = {}): string =>
    decide(own, served, { ...large, ...more })

  it('goes where the slowest layers are', () => {
    expect(decideInLarge(quarters(8, 6, 6, 3))).toBe('24-32')
    expect(decideInLarge(quarters(5, 6, 6, 6))).toBe('stay')
  })

  it('moves the sooner the more that gains', () => {
    expect(decideInLarge(quarters(8, 6, 6, 3), { servedSeconds: 600 })).toBe('24-32')
    expect(decideInLarge(quarters(8, 6, 6, 3), { servedSeconds: 60 })).toBe('stay')
    expect(decideInLarge(quarters(7, 6, 6, 5), { servedSeconds: 600 })).toBe('stay')
    expect(decideInLarge(quarters(7, 6, 6, 5))).toBe('24-32')
  })

  it('does not go where somebody else is on the way to', () => {
    const served = quarters(8, 6, 6, 3)
    expect(decideInLarge(served, { claims: [node('0-0', 24, 32)] })).toBe('stay')
    expect(decideInLarge(served, { claims: [node('0-0', 0, 4)] })).toBe('24-32')
  })

  it('lets another one move that helps much more, if that one may', () => {
    const served = quarters(8, 6, 6, 3)
    const fast = node('fast', 0, 8, { layersPerSecond: 300 })
    const awaiting = rebalance(request(own, [...served, fast], large))
    expect(awaiting).toMatchObject({ kind: 'stay', awaits: { peer: 'fast' } })
    expect(decideInLarge([...served, { ...fast, memoryBytes: undefined }])).toBe('24-32')
    expect(decideInLarge([...served, fast], { claims: [node('fast', 8, 16)] })).toBe('24-32')
    // Nobody else serves the layers of this one.
    const only = node('only', 0, 8, { layersPerSecond: 1_000 })
    const others = [
      ...quarters(0, 6, 6, 3),
      node('early', 8, 16),
      node('late', 8, 16),
      node('last', 8, 16),
      node('x', 8, 16)
    ]
    expect(decide(node('own', 8, 16), [...others, only], { ...large })).toBe('24-32')
  })

  it('leaves no layer to nobody, nor to one that does not serve it yet', () => {
    const served = quarters(0, 9, 9, 3)
    expect(decideInLarge(served)).toBe('stay')
    const fast = node('new', 0, 8, { layersPerSecond: 1_000 })
    expect(decideInLarge(served, { claims: [fast] })).toBe('stay')
    expect(decideInLarge([...served, fast])).toBe('24-32')
  })

  it('comes to rest with all others, without a hole on the way and better than it was', () => {
    const some = fc.array(
      fc.record({
        start: fc.nat(25),
        length: fc.integer({ min: 3, max: 16 }),
        speed: fc.integer({ min: 20, max: 500 })
      }),
      { minLength: 24, maxLength: 30 }
    )
    fc.assert(
      fc.property(some, swarm => {
        const nodes = swarm.map(({ start, length, speed }, index) =>
          node(`peer-${index}`, start, Math.min(layers, start + length), {
            layersPerSecond: speed,
            memoryBytes: length * 10
          })
        )
        fc.pre(isComplete(layers, nodes))
        const before = softMinimum(usableRates(layers, nodes))
        const rest = settle(nodes, {
          more: large,
          most: 200,
          onMove: (mover, to, others) => {
            if (mover.end - mover.start + to.end - to.start > (mover.memoryBytes ?? 0) / 10)
              expect(isComplete(layers, others)).toBe(true)
          }
        })
        expect(isComplete(layers, rest.nodes)).toBe(true)
        const after = softMinimum(usableRates(layers, rest.nodes))
        if (rest.moves > 0) expect(after).toBeGreaterThan(before)
      }),
      RUNS
    )
  })
})

describe('a claim', () => {
  const claims = [node('a', 0, 4), node('c', 0, 4)]

  it('comes after those that were there before, and after those of peers whose ids come first', () => {
    expect(precedingClaims(claims, { peer: 'b', older: new Set() }).map(({ peer }) => peer)).toEqual(['a'])
    expect(precedingClaims(claims, { peer: 'b', older: new Set(['c']) })).toEqual(claims)
  })

  it('counts as served where a node joins', () => {
    const seen = { ...SIZE, ...ENDS, memoryBytes: 40, layersPerSecond: 100, served: [node('x', 0, 4)] }
    expect(choosePlacement({ ...seen, claims: [] })).toMatchObject({ start: 4 })
    expect(choosePlacement({ ...seen, claims: [node('y', 4, 8)] })).toMatchObject({ start: 0 })
  })

  it('of a peer that serves other layers takes their place', () => {
    const served = [node('a', 0, 4), node('b', 0, 4)]
    expect(afterClaims({ served, claims: [node('a', 4, 8)] })).toEqual([node('b', 0, 4), node('a', 4, 8)])
  })
})

describe('the next look', () => {
  it('comes at a random time around the same one', () => {
    const times = [0, 0.5, 0.999].map(lookAgainAfter)
    expect(times[0]).toBeLessThan(times[1] ?? 0)
    expect(times[1]).toBeLessThan(times[2] ?? 0)
    expect((times[2] ?? 0) / (times[0] ?? 1)).toBeLessThan(4)
  })
})

/** Any nodes, each with a range that fits it. */
const swarms = fc.array(
  fc
    .record({
      capacity: fc.integer({ min: 1, max: 5 }),
      start: fc.nat(7),
      layersPerSecond: fc.integer({ min: 1, max: 500 })
    })
    .map(({ capacity, start, layersPerSecond }) => {
      return { start, end: Math.min(LAYERS, start + capacity), layersPerSecond, memoryBytes: capacity * 10 }
    }),
  { minLength: 2, maxLength: 6 }
)
const named = (nodes: Omit<PlacedNode, 'peer'>[]): PlacedNode[] =>
  nodes.map((some, index) => ({ peer: `peer-${index}`, ...some }))

describe('any swarm', () => {
  it('has no hole after a move that it had not before, nor while the node moves', () => {
    fc.assert(
      fc.property(swarms, some => {
        const nodes = named(some)
        for (const own of nodes) {
          const others = without(nodes, own)
          const found = rebalance(request(own, others))
          if (found.kind === 'stay') continue
          const to = { ...own, start: found.start, end: found.end }
          const isBeside = own.end - own.start + to.end - to.start <= (own.memoryBytes ?? 0) / 10
          for (const left of [[...others, to], isBeside ? [...others, to] : others]) {
            const holes = missingLayers(LAYERS, left)
            expect(holes.filter(({ start, end }) => start < own.end && own.start < end)).toEqual([])
            if (isComplete(LAYERS, nodes)) expect(isComplete(LAYERS, left)).toBe(true)
          }
        }
      }),
      RUNS
    )
  })

  it('whose nodes see the same never has two of them move into the same layers', () => {
    fc.assert(
      fc.property(swarms, some => {
        const nodes = named(some)
        const claims = nodes.flatMap(own => {
          const found = rebalance(request(own, without(nodes, own)))
          return found.kind === 'stay' ? [] : [{ ...own, start: found.start, end: found.end }]
        })
        // Everybody has heard of every claim by now.
        const moving = claims.filter(claim => {
          const own = nodes.find(({ peer }) => peer === claim.peer) ?? expect.fail('a claim of nobody')
          const preceding = precedingClaims(without(claims, own), { peer: own.peer, older: new Set() })
          const again = rebalance(request(own, without(nodes, own), { claims: preceding }))
          return again.kind === 'move' && again.start === claim.start && again.end === claim.end
        })
        for (const [index, a] of moving.entries())
          for (const b of moving.slice(index + 1)) expect(a.end <= b.start || b.end <= a.start).toBe(true)
        const leaving = new Set(moving.map(({ peer }) => peer))
        const left = nodes.filter(({ peer }) => !leaving.has(peer))
        if (isComplete(LAYERS, nodes)) expect(isComplete(LAYERS, [...left, ...moving])).toBe(true)
      }),
      RUNS
    )
  })

  it('comes to rest when nobody comes or goes, better than it was', () => {
    fc.assert(
      fc.property(swarms, some => {
        const nodes = named(some)
        const before = slowest(usableRates(LAYERS, nodes))
        const rest = settle(nodes, { most: 50 })
        const after = slowest(usableRates(LAYERS, rest.nodes))
        if (rest.moves > 0 && before > 0) expect(after).toBeGreaterThan(before)
        else expect(after).toBeGreaterThanOrEqual(before)
      }),
      RUNS
    )
  })
})
