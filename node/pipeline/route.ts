/** From what the directory shows to a route: gathers the scheduler's input and turns its answer into stages or an error. */
import { MAX_POSITIONS } from '../../protocol/limits.js'
import type { Manifest } from '../models/types.js'
import { planRoute } from '../scheduler/routing.js'
import type { RoutePlan, RouteSegment, RouteShard } from '../scheduler/types.js'
import type { NodeView } from '../swarm/types.js'
import { incompleteModel, isOnline, type OfferedModel } from './catalogue.js'
import { PipelineError } from './errors.js'
import type { SessionStage } from './session-types.js'

/** Software cost of a hop, seconds: framing, encryption and two wake-ups (docs/performance.md). */
const HOP_SECONDS = 0.0007

/** A peer that was never measured is taken to be this far away, half round trip, seconds. */
const UNKNOWN_LATENCY = 0.05

export interface ChosenRoute {
  stages: SessionStage[]
  /** As the scheduler's cost model has it. */
  secondsPerToken: number
}

export interface RouteInput {
  model: OfferedModel
  /** Its layers and cuts count. */
  manifest: Pick<Manifest, 'layers' | 'cuts'>
  nodes: readonly NodeView[]
  /** Positions that the session needs. */
  context: number
  /** Peers that just failed or refused. */
  exclude: ReadonlySet<string>
  /** The whole route, unless said otherwise. */
  segment?: RouteSegment
}

/**
 * Over nodes that are connected where they suffice: a node that is only known from its record may be gone already.
 * @throws PipelineError INCOMPLETE_MODEL, NO_ROUTE
 */
export function chooseRoute(input: RouteInput): ChosenRoute {
  const nodes = input.nodes.filter(isOnline)
  const connected = nodes.filter(({ path }) => path !== 'unconnected')
  const near = planOver(connected, input)
  const all = near.kind === 'route' ? near : planOver(nodes, input)
  // What records say of free room is seconds old: it chooses between ways, and where it leaves none, the stages decide.
  const plan = all.kind === 'blocked' ? planOver(nodes.map(withRoom), input) : all
  if (plan.kind !== 'route') throw noRoute(all.kind === 'blocked' ? all : plan, input)
  const records = new Map(nodes.map(({ peer, record }) => [peer, record]))
  const stages = plan.stages.map(stage => {
    const { name = '', addresses = [] } = records.get(stage.peer) ?? {}
    return { ...stage, name, addresses }
  })
  return { stages, secondsPerToken: plan.secondsPerToken }
}

/** The node as it will be once its sessions are over. */
function withRoom(node: NodeView): NodeView {
  const models = node.record.models.map(model => ({
    ...model,
    shards: model.shards.map(shard => ({ ...shard, freeSessions: 1, freeContext: MAX_POSITIONS }))
  }))
  return { ...node, record: { ...node.record, models } }
}

/** What the cost model says of a stage that is there, with the seconds that it takes for a token as measured. */
export function secondsThrough(stage: SessionStage, seconds: number, input: RouteInput): number {
  const { manifest, segment } = input
  const { start, end, leave, peer, local } = stage
  const roundTrip = input.nodes.find(node => node.peer === peer)?.roundTrip
  const shard = {
    ...{ peer, start, end, local, originLatency: halfRoundTrip(local, roundTrip) },
    ...{ secondsPerLayer: seconds / (leave - start), queue: 0, freeSessions: 1, freeContext: MAX_POSITIONS }
  }
  const { layers, cuts } = manifest
  const plan = planRoute({
    ...{ layers, cuts, shards: [shard], latency: latencies(input.nodes), context: 0, hopSeconds: HOP_SECONDS },
    ...(segment && { segment })
  })
  return plan.kind === 'route' ? plan.secondsPerToken : seconds
}

function planOver(nodes: readonly NodeView[], { model, manifest, context, exclude, segment }: RouteInput): RoutePlan {
  return planRoute({
    layers: manifest.layers,
    cuts: manifest.cuts,
    shards: nodes.flatMap(node => shardsOf(node, model.manifest)),
    latency: latencies(nodes),
    context,
    hopSeconds: HOP_SECONDS,
    exclude,
    ...(segment && { segment })
  })
}

function shardsOf({ peer, path, record, roundTrip }: NodeView, manifest: string): RouteShard[] {
  const local = path === 'self'
  const originLatency = halfRoundTrip(local, roundTrip)
  const shards = record.models.filter(model => model.manifest === manifest).flatMap(model => model.shards)
  return shards.map(shard => ({ ...shard, peer, local, originLatency }))
}

/** Seconds; of this node itself none. */
export function halfRoundTrip(local: boolean, roundTrip: number | undefined): number {
  return local ? 0 : roundTrip === undefined ? UNKNOWN_LATENCY : roundTrip / 2
}

/** What peers say of the way between them; the smaller of the two where both speak. */
export function latencies(nodes: readonly NodeView[]): (from: string, to: string) => number | undefined {
  const known = new Map<string, number>()
  for (const { peer, record } of nodes) {
    for (const { peer: other, seconds } of record.latencies) {
      for (const key of [`${peer} ${other}`, `${other} ${peer}`]) {
        known.set(key, Math.min(seconds, known.get(key) ?? Infinity))
      }
    }
  }
  return (from, to) => known.get(`${from} ${to}`)
}

function noRoute(plan: Exclude<RoutePlan, { kind: 'route' }>, { model, context }: RouteInput): PipelineError {
  if (plan.kind === 'missing') return incompleteModel({ ...model, missing: plan.layers })
  const reasons = plan.reasons.map(({ peer, start, end, reason }) => `${start}-${end} on ${peer.slice(-8)}: ${reason}`)
  return new PipelineError(
    'NO_ROUTE',
    `No chain of nodes can take a session of ${context} positions of ${model.name} now (${reasons.join('; ')}). Try again later, or with a smaller --max-tokens.`,
    { details: { manifest: model.manifest, context, reasons: plan.reasons } }
  )
}
