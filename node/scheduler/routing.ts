import { chained, follows } from './chain.js'
import { missingLayers } from './coverage.js'
import type { RoutePlan, RouteRequest, RouteSegment, RouteShard, RouteStage } from './types.js'

type Refusal = Extract<RoutePlan, { kind: 'blocked' }>['reasons'][number]
type Reason = Refusal['reason']

/** A way to the answer at the origin: what it costs and the stages that it takes. */
interface Way {
  seconds: number
  stages: number
  next: Tail | undefined
}

/** The cheapest way that begins in a shard's first layer. */
interface Tail extends Way {
  shard: RouteShard
  leave: number
}

/**
 * The chain of shards with the least time per token: compute, queues, and every leg from the origin through the stages
 * and back. A shortest path over shards, solved from the last layer backwards in O(shards²). Of equal ways the one with
 * fewer stages, then the one whose peers come first in the order of their ids.
 */
export function planRoute(request: RouteRequest): RoutePlan {
  const usable = request.shards.filter(shard => refusal(request, shard) === undefined)
  const way = cheapest(request, usable)
  if (way !== undefined) return { kind: 'route', stages: stagesOf(way), secondsPerToken: way.seconds }
  const missing = missingLayers(request.layers, request.shards)
  if (missing.length > 0) return { kind: 'missing', layers: missing }
  return { kind: 'blocked', reasons: reasonsOf(request) }
}

function cheapest(request: RouteRequest, shards: readonly RouteShard[]): Way | undefined {
  const tails: Tail[] = []
  for (const shard of shards.toSorted((a, b) => b.start - a.start)) {
    const tail = tailFrom(request, shard, tails)
    if (tail !== undefined) tails.push(tail)
  }
  const { start, before } = segmentOf(request)
  return tails
    .filter(({ shard }) => shard.start === start && shard.peer !== before)
    .map(next => ({ seconds: outerLeg(request, before, next.shard) + next.seconds, stages: next.stages, next }))
    .reduce<Way | undefined>((best, way) => (better(way, best) ? way : best), undefined)
}

/** The best way on from a shard, given the best one from every shard that starts later. */
function tailFrom(request: RouteRequest, shard: RouteShard, later: readonly Tail[]): Tail | undefined {
  let best: Tail | undefined
  const { end, after } = segmentOf(request)
  if (shard.start < end && shard.end >= end && shard.peer !== after) {
    const seconds = compute(shard, end) + outerLeg(request, after, shard)
    best = { shard, leave: end, seconds, stages: 1, next: undefined }
  }
  for (const next of later) {
    if (!follows(shard, next.shard)) continue
    const leave = next.shard.start
    if (leave >= end) continue
    const seconds = compute(shard, leave) + leg(request, shard, next.shard) + next.seconds
    const tail = { shard, leave, seconds, stages: next.stages + 1, next }
    if (better(tail, best)) best = tail
  }
  return best
}

function better(way: Way, than: Way | undefined): boolean {
  if (than === undefined) return true
  return (way.seconds - than.seconds || way.stages - than.stages || comparePeers(way.next, than.next)) < 0
}

function comparePeers(a: Tail | undefined, b: Tail | undefined): number {
  if (a === undefined || b === undefined || a === b) return 0
  const order = a.shard.start - b.shard.start || a.shard.end - b.shard.end || comparePeers(a.next, b.next)
  if (a.shard.peer === b.shard.peer) return order
  return a.shard.peer < b.shard.peer ? -1 : 1
}

function compute({ start, secondsPerLayer, queue }: RouteShard, leave: number): number {
  return (leave - start) * secondsPerLayer * (1 + queue)
}

function leg({ latency, hopSeconds }: RouteRequest, from: RouteShard, to: RouteShard): number {
  return (latency(from.peer, to.peer) ?? from.originLatency + to.originLatency) + hopSeconds
}

/** Between a shard at one end of the segment and the stage that stays there, or the origin. */
function outerLeg(request: RouteRequest, neighbour: string | undefined, shard: RouteShard): number {
  if (neighbour === undefined) return originLeg(request, shard)
  return (request.latency(neighbour, shard.peer) ?? shard.originLatency) + request.hopSeconds
}

function segmentOf({ segment, layers }: RouteRequest): RouteSegment {
  return segment ?? { start: 0, end: layers }
}

function originLeg({ hopSeconds }: RouteRequest, { local, originLatency }: RouteShard): number {
  return local ? 0 : originLatency + hopSeconds
}

function stagesOf(way: Way): RouteStage[] {
  const stages: RouteStage[] = []
  for (let tail = way.next; tail !== undefined; tail = tail.next) {
    const { peer, start, end, local } = tail.shard
    stages.push({ peer, start, end, leave: tail.leave, local })
  }
  return stages
}

function refusal(request: RouteRequest, shard: RouteShard): Reason | undefined {
  if (request.exclude?.has(shard.peer) === true) return 'excluded'
  if (!enterable(request, shard)) return 'unconnected-range'
  if (shard.freeSessions <= 0) return 'busy'
  return shard.freeContext < request.context ? 'context' : undefined
}

function enterable({ layers, cuts }: RouteRequest, { start, end }: RouteShard): boolean {
  return (start === 0 || cuts.includes(start)) && start < end && end <= layers
}

/** Why each shard was of no use. Those that only lack partners which are refused for their own reasons are left out. */
function reasonsOf(request: RouteRequest): Refusal[] {
  const entered = request.shards.filter(shard => enterable(request, shard))
  const connected = new Set(chained(request.layers, entered))
  return request.shards.flatMap(shard => {
    const reason = refusal(request, shard) ?? (connected.has(shard) ? undefined : 'unconnected-range')
    return reason === undefined ? [] : [{ peer: shard.peer, start: shard.start, end: shard.end, reason }]
  })
}
