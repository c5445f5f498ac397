/** From what the directory shows to a route: gathers the scheduler's input and turns its answer into stages or an error. */
import { MAX_POSITIONS } from '../../protocol/limits.js'
import type { Manifest } from '../models/types.js'
import { planRoute } from '../scheduler/routing.js'
import type { RoutePlan, RouteShard } from '../scheduler/types.js'
import type { NodeView } from '../swarm/types.js'
import { incompleteModel, type OfferedModel } from './catalogue.js'
import { PipelineError } from './errors.js'
import type { SessionStage } from './ring-session.js'

/** Software cost of a hop, seconds: framing, encryption and two wake-ups (docs/performance.md). */
const HOP_SECONDS = 0.0007

/** A peer that was never measured is taken to be this far away, half round trip, seconds. */
const UNKNOWN_LATENCY = 0.05

export interface RouteInput {
  model: OfferedModel
  manifest: Manifest
  nodes: readonly NodeView[]
  /** Positions that the session needs. */
  context: number
  /** Peers that just failed or refused. */
  exclude: ReadonlySet<string>
}

/**
 * Over nodes that are connected where they suffice: a node that is only known from its record may be gone already.
 * @throws PipelineError INCOMPLETE_MODEL, NO_ROUTE
 */
export function chooseRoute(input: RouteInput): SessionStage[] {
  const nodes = input.nodes.filter(usable)
  const connected = nodes.filter(({ path }) => path !== 'unconnected')
  const near = planOver(connected, input)
  const all = near.kind === 'route' ? near : planOver(nodes, input)
  // What records say of free room is seconds old: it chooses between ways, and where it leaves none, the stages decide.
  const plan = all.kind === 'blocked' ? planOver(nodes.map(withRoom), input) : all
  if (plan.kind !== 'route') throw noRoute(all.kind === 'blocked' ? all : plan, input)
  const records = new Map(nodes.map(({ peer, record }) => [peer, record]))
  return plan.stages.map(stage => {
    const { name = '', addresses = [] } = records.get(stage.peer) ?? {}
    return { ...stage, name, addresses }
  })
}

/** The node as it will be once its sessions are over. */
function withRoom(node: NodeView): NodeView {
  const models = node.record.models.map(model => ({
    ...model,
    shards: model.shards.map(shard => ({ ...shard, freeSessions: 1, freeContext: MAX_POSITIONS }))
  }))
  return { ...node, record: { ...node.record, models } }
}

function planOver(nodes: readonly NodeView[], { model, manifest, context, exclude }: RouteInput): RoutePlan {
  return planRoute({
    layers: manifest.layers,
    cuts: manifest.cuts,
    shards: nodes.flatMap(node => shardsOf(node, model.manifest)),
    latency: latencies(nodes),
    context,
    hopSeconds: HOP_SECONDS,
    exclude
  })
}

const usable = ({ record, banned }: NodeView): boolean => record.state === 'online' && banned !== true

function shardsOf({ peer, path, record, roundTrip }: NodeView, manifest: string): RouteShard[] {
  const local = path === 'self'
  const originLatency = local ? 0 : roundTrip === undefined ? UNKNOWN_LATENCY : roundTrip / 2
  const shards = record.models.filter(model => model.manifest === manifest).flatMap(model => model.shards)
  return shards.map(shard => ({ ...shard, peer, local, originLatency }))
}

/** What peers say of the way between them; the smaller of the two where both speak. */
function latencies(nodes: readonly NodeView[]): (from: string, to: string) => number | undefined {
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
