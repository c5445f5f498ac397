import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { planRoute } from '../../../node/scheduler/routing.js'
import type { RouteRequest, RouteShard } from '../../../node/scheduler/types.js'

const LAYERS = 8

function shard(peer: string, start: number, end: number, wrong: Partial<RouteShard> = {}): RouteShard {
  return {
    ...{ peer, start, end, secondsPerLayer: 0.001, queue: 0, freeSessions: 1, freeContext: 4096 },
    ...{ originLatency: 0.01, local: false },
    ...wrong
  }
}

function request(shards: RouteShard[], wrong: Partial<RouteRequest> = {}): RouteRequest {
  const cuts = Array.from({ length: LAYERS - 1 }, (_, index) => index + 1)
  return { layers: LAYERS, cuts, shards, latency: () => undefined, context: 2048, hopSeconds: 0.0005, ...wrong }
}

function route(shards: RouteShard[], wrong: Partial<RouteRequest> = {}): string {
  const plan = planRoute(request(shards, wrong))
  if (plan.kind !== 'route') return plan.kind
  return plan.stages.map(({ peer, start, leave }) => `${peer} ${start}-${leave}`).join(', ')
}

describe('a route', () => {
  it('goes through ranges that follow each other', () => {
    expect(route([shard('c', 6, 8), shard('a', 0, 3), shard('b', 3, 6)])).toBe('a 0-3, b 3-6, c 6-8')
  })

  it('leaves a shard early where the next one begins', () => {
    expect(route([shard('a', 0, 6), shard('b', 4, 8)])).toBe('a 0-4, b 4-8')
  })

  it('adds up compute, queues, legs and hops', () => {
    const shards = [shard('a', 0, 4, { queue: 1 }), shard('b', 4, 8, { originLatency: 0.02 })]
    const plan = planRoute(request(shards, { latency: () => 0.005 }))
    const legs = 0.01 + 0.005 + 0.02 + 3 * 0.0005
    expect(plan).toMatchObject({ kind: 'route', secondsPerToken: expect.closeTo(0.008 + 0.004 + legs, 9) as number })
  })

  it('takes both ways to the origin where the latency between two peers is unknown', () => {
    const shards = [shard('a', 0, 4), shard('b', 4, 8, { originLatency: 0.02 })]
    const plan = planRoute(request(shards))
    expect(plan).toMatchObject({ secondsPerToken: expect.closeTo(0.008 + 0.01 + 0.03 + 0.02 + 0.0015, 9) as number })
  })

  it('pays no leg and no hop for a shard on the origin itself', () => {
    const plan = planRoute(request([shard('me', 0, 8, { local: true, originLatency: 0 })]))
    expect(plan).toEqual({
      kind: 'route',
      stages: [{ peer: 'me', start: 0, end: 8, leave: 8, local: true }],
      secondsPerToken: 0.008
    })
  })

  it('prefers a near peer to a fast one that is far', () => {
    const far = shard('fast', 0, 8, { secondsPerLayer: 0.0001, originLatency: 0.1 })
    expect(route([far, shard('near', 0, 8, { secondsPerLayer: 0.002, originLatency: 0.001 })])).toBe('near 0-8')
  })

  it('avoids a queue', () => {
    expect(route([shard('a', 0, 8, { queue: 20 }), shard('b', 0, 8)])).toBe('b 0-8')
  })

  it('of equal cost has few stages, whatever the peers are called', () => {
    const free = { originLatency: 0 }
    const shards = [shard('a', 0, 4, free), shard('b', 4, 8, free), shard('z', 0, 8, free)]
    expect(route(shards, { hopSeconds: 0 })).toBe('z 0-8')
    expect(route(shards.toReversed(), { hopSeconds: 0 })).toBe('z 0-8')
  })

  it('of equal cost and length has peers in the order of their ids, however the shards are listed', () => {
    const free = { originLatency: 0 }
    const shards = [
      ...[shard('d', 0, 4, free), shard('a', 0, 4, free), shard('c', 4, 8, free), shard('b', 4, 8, free)],
      ...[shard('e', 2, 4, free), shard('f', 6, 8, free)]
    ]
    fc.assert(
      fc.property(fc.shuffledSubarray(shards, { minLength: shards.length }), shuffled => {
        expect(route(shuffled, { latency: () => 0, hopSeconds: 0 })).toBe('a 0-4, b 4-8')
      })
    )
  })

  it('never goes from a peer to the same peer', () => {
    expect(route([shard('a', 0, 4), shard('a', 4, 8)])).toBe('blocked')
    expect(route([shard('a', 0, 4), shard('a', 4, 8), shard('b', 4, 8)])).toBe('a 0-4, b 4-8')
  })

  it('obeys the cuts of the model', () => {
    expect(route([shard('a', 0, 4), shard('b', 3, 8)], { cuts: [4] })).toBe('blocked')
    expect(route([shard('a', 0, 4), shard('b', 4, 8)], { cuts: [4] })).toBe('a 0-4, b 4-8')
  })
})

describe('without a route', () => {
  it('the layers that nobody holds are named', () => {
    const plan = planRoute(request([shard('a', 0, 3), shard('b', 5, 7, { freeSessions: 0 })]))
    expect(plan).toEqual({
      kind: 'missing',
      layers: [
        { start: 3, end: 5 },
        { start: 7, end: 8 }
      ]
    })
    expect(planRoute(request([]))).toEqual({ kind: 'missing', layers: [{ start: 0, end: 8 }] })
  })

  it('each refused shard is named with the reason, and no other', () => {
    const shards = [
      shard('a', 0, 4),
      shard('b', 4, 8, { freeSessions: 0 }),
      shard('c', 4, 8, { freeContext: 100 }),
      shard('d', 4, 8),
      shard('e', 5, 7)
    ]
    expect(planRoute(request(shards, { exclude: new Set(['d']) }))).toEqual({
      kind: 'blocked',
      reasons: [
        { peer: 'b', start: 4, end: 8, reason: 'busy' },
        { peer: 'c', start: 4, end: 8, reason: 'context' },
        { peer: 'd', start: 4, end: 8, reason: 'excluded' },
        { peer: 'e', start: 5, end: 7, reason: 'unconnected-range' }
      ]
    })
  })
})

const peers = ['a', 'b', 'c', 'd', 'e']

const requests: fc.Arbitrary<RouteRequest> = fc
  .record({
    shards: fc.array(
      fc.record({
        peer: fc.constantFrom(...peers),
        start: fc.nat(7),
        length: fc.integer({ min: 1, max: 8 }),
        secondsPerLayer: fc.integer({ min: 1, max: 9 }),
        queue: fc.nat(2),
        freeSessions: fc.nat(4),
        freeContext: fc.constantFrom(100, 4096, 8192),
        local: fc.boolean()
      }),
      { maxLength: 7 }
    ),
    cuts: fc.subarray([1, 2, 3, 4, 5, 6, 7]),
    latencies: fc.dictionary(fc.constantFrom(...peers.flatMap(a => peers.map(b => a + b))), fc.nat(9)),
    exclude: fc.subarray(peers, { maxLength: 1 })
  })
  .map(({ shards, cuts, latencies, exclude }) => ({
    ...request(
      shards.map(({ start, length, ...rest }) => ({
        ...{ ...rest, start, end: Math.min(start + length, LAYERS) },
        originLatency: rest.local ? 0 : rest.peer.charCodeAt(0) - 95
      }))
    ),
    ...{ cuts, exclude: new Set(exclude), hopSeconds: 2, latency: (from, to) => latencies[from + to] }
  }))

/** Every chain that is allowed, by trying all of them. */
function chains(asked: RouteRequest, before: RouteShard[] = []): RouteShard[][] {
  const last = before.at(-1)
  const complete = last?.end === asked.layers ? [before] : []
  const usable = asked.shards.filter(
    ({ peer, start, end, freeSessions, freeContext }) =>
      asked.exclude?.has(peer) !== true &&
      freeSessions > 0 &&
      freeContext >= asked.context &&
      start < end &&
      (last === undefined
        ? start === 0
        : asked.cuts.includes(start) && start > last.start && start <= last.end && peer !== last.peer)
  )
  return [...complete, ...usable.flatMap(next => chains(asked, [...before, next]))]
}

function cost({ layers, latency, hopSeconds }: RouteRequest, chain: RouteShard[]): number {
  return chain.reduce((sum, current, index) => {
    const next = chain[index + 1]
    const compute = ((next?.start ?? layers) - current.start) * current.secondsPerLayer * (1 + current.queue)
    const home = current.local ? 0 : current.originLatency + hopSeconds
    const onward =
      next === undefined
        ? home
        : hopSeconds + (latency(current.peer, next.peer) ?? current.originLatency + next.originLatency)
    return sum + compute + onward + (index === 0 ? home : 0)
  }, 0)
}

describe('any route', () => {
  it('is a valid chain and costs as little as the best of all chains', () => {
    fc.assert(
      fc.property(requests, asked => {
        const plan = planRoute(asked)
        const costs = chains(asked).map(chain => cost(asked, chain))
        if (plan.kind !== 'route') {
          expect(costs).toEqual([])
          return
        }
        expect(plan.secondsPerToken).toBe(Math.min(...costs))
        const { stages } = plan
        expect([stages[0]?.start, stages.at(-1)?.leave]).toEqual([0, LAYERS])
        for (const [index, { start, leave, end, peer }] of stages.entries()) {
          const next = stages[index + 1]
          expect(start < leave && leave <= end).toBe(true)
          if (next === undefined) continue
          expect(next.start).toBe(leave)
          expect(asked.cuts).toContain(next.start)
          expect(next.peer).not.toBe(peer)
        }
      }),
      { numRuns: 500 }
    )
  })

  it('is missing only where some layer is held by nobody, and blocked only with reasons', () => {
    fc.assert(
      fc.property(requests, asked => {
        const plan = planRoute(asked)
        if (plan.kind === 'blocked') expect(plan.reasons.length).toBeGreaterThan(0)
        if (plan.kind !== 'missing') return
        for (const { start, end } of plan.layers) {
          expect(asked.shards.filter(held => held.start < end && start < held.end)).toEqual([])
        }
      })
    )
  })
})
