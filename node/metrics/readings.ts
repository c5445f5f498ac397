/** What is not counted as it happens but read from the node when somebody looks. */
import type { StatusView } from '../control/contract.js'
import type { NodeView } from '../swarm/types.js'
import type { Instruments } from './instruments.js'
import type { ModelNames } from './model-names.js'
import type { ByOpener, SessionTraffic } from './traffic.js'

export interface Sources {
  status: StatusView
  nodes: readonly NodeView[]
  traffic: SessionTraffic
  /** Answers under way, and those of them that wait for their turn. */
  answers: { running: number; waiting: number }
}

const STATES: readonly StatusView['state'][] = ['joining', 'online', 'draining', 'paused', 'leaving']

export function read(to: Instruments, names: ModelNames, { status, nodes, traffic, answers }: Sources): void {
  readState(to, status)
  readShards(to, names, status)
  readPeers(to, nodes)
  readRefusals(to, status)
  to.answersRunning.set(answers.running - answers.waiting)
  to.answersWaiting.set(answers.waiting)
  to.streamBytes.reset()
  readTraffic(to, 'stage', traffic.stage)
  readTraffic(to, 'relay', traffic.relay)
}

function readState(to: Instruments, { version, state, engine, sessions, memoryBytes, usedBytes }: StatusView): void {
  to.info.reset()
  to.info.set({ version, backend: engine.backend ?? '' }, 1)
  for (const one of STATES) to.state.set({ state: one }, one === state ? 1 : 0)
  to.sessions.set(sessions.served)
  to.memoryGiven.set(memoryBytes)
  to.memoryUsed.set(usedBytes)
  to.engineReady.set(engine.state === 'ready' ? 1 : 0)
  to.engineRestarts.reset()
  to.engineRestarts.inc(engine.restarts)
}

/** Those that are gone leave no series behind. */
function readShards(to: Instruments, names: ModelNames, { shards }: StatusView): void {
  for (const gauge of [to.positions, to.positionsUsed, to.layerTime]) gauge.reset()
  for (const { model, start, end, context, freeContext, secondsPerLayer } of shards) {
    const labels = { model: names.label(model), layers: `${start}-${end}` }
    to.positions.inc(labels, context)
    to.positionsUsed.inc(labels, context - freeContext)
    to.layerTime.set(labels, secondsPerLayer)
  }
}

function readPeers({ peers }: Instruments, nodes: readonly NodeView[]): void {
  for (const path of ['direct', 'relayed', 'unconnected']) peers.set({ path }, 0)
  for (const { path } of nodes) if (path !== 'self') peers.inc({ path: path === 'gone' ? 'unconnected' : path })
}

function readTraffic({ streamBytes }: Instruments, protocol: keyof SessionTraffic, { here, peer }: ByOpener): void {
  streamBytes.inc({ protocol, opened: 'here', direction: 'received' }, here.received)
  streamBytes.inc({ protocol, opened: 'here', direction: 'sent' }, here.sent)
  streamBytes.inc({ protocol, opened: 'peer', direction: 'received' }, peer.received)
  streamBytes.inc({ protocol, opened: 'peer', direction: 'sent' }, peer.sent)
}

function readRefusals({ refusals, bans, bannedPeers }: Instruments, { refused, banned }: StatusView): void {
  const { BANNED: began = 0, ...others } = refused
  refusals.reset()
  for (const [reason, count] of Object.entries(others)) refusals.inc({ reason }, count)
  bans.reset()
  bans.inc(began)
  bannedPeers.set(banned)
}
