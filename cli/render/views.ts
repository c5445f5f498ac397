import type {
  ModelView,
  PeerShardView,
  PeerView,
  ShardView,
  StatusView,
  TaskView
} from '../../node/control/contract.js'
import { DEFAULT_MAX_TOKENS } from '../../node/pipeline/sampling.js'
import { reasonsText } from './availability.js'
import type { Paint } from './colour.js'
import {
  bytes,
  count,
  duration,
  layerRange,
  layerRanges,
  milliseconds,
  percent,
  printable,
  shortHash,
  shortPeer
} from './format.js'
import { pairs, table } from './table.js'

export function statusLines(status: StatusView, paint: Paint): string[] {
  const { engine, sessions, swarm } = status
  const kind = swarm.closed ? 'closed' : 'open'
  const lines = pairs([
    ['node', `${printable(status.name)}, ${paintState(status.state, paint)}, up for ${duration(status.uptimeSeconds)}`],
    ...availabilityPairs(status),
    ['peer', status.peer],
    ['swarm', `${printable(swarm.name)} (${kind}), ${count(status.peers, 'other node')}`],
    ['addresses', status.addresses.join('\n           ') || '-'],
    ['gateway', status.gateway ?? '-'],
    ...(status.page === undefined ? [] : [['page', status.page] as const]),
    ['engine', engineText(status, paint)],
    ['memory', `${bytes(status.usedBytes)} of ${bytes(status.memoryBytes)}`],
    ['sessions', `${sessions.served} served, ${sessions.origin} of our own`],
    ['refused', refusedText(status.refused)],
    ...(status.banned === 0 ? [] : [['banned', paint('yellow', count(status.banned, 'peer'))] as const]),
    ['process', `${status.pid}, flambeau ${status.version}, ${status.home}`]
  ])
  const shards = status.shards.length === 0 ? ['No layers are served.'] : shardLines(status.shards)
  const restarts =
    engine.restarts === 0 ? [] : [paint('yellow', `The engine was restarted ${count(engine.restarts, 'time')}.`)]
  return [...lines, ...restarts, '', ...shards, ...status.tasks.map(taskLine)]
}

/** Why it does not serve, and until when; or why it would not. */
function availabilityPairs({ availability: { pauses, overruled } }: StatusView): [string, string][] {
  const now = new Date()
  return [
    ...(pauses.length === 0 ? [] : [['paused', reasonsText(pauses, now)] satisfies [string, string]]),
    ...(overruled.length === 0
      ? []
      : [['overruled', `pause ${reasonsText(overruled, now)}`] satisfies [string, string]])
  ]
}

function engineText({ engine }: StatusView, paint: Paint): string {
  const state = engine.state === 'ready' ? paint('green', 'ready') : paint('yellow', engine.state)
  const devices = engine.devices.length === 0 ? '' : ` on ${engine.devices.map(printable).join(', ')}`
  return `${state}, ${engine.backend ?? 'no backend'}${devices}`
}

function refusedText(refused: Readonly<Record<string, number>>): string {
  const entries = Object.entries(refused).map(([code, times]) => `${printable(code)} ${times}`)
  return entries.join(', ') || 'nothing'
}

function paintState(state: StatusView['state'], paint: Paint): string {
  return paint(state === 'online' ? 'green' : 'yellow', state)
}

export function shardLines(shards: readonly ShardView[]): string[] {
  return table(
    [
      { title: 'model' },
      { title: 'layers', align: 'right' },
      { title: 'ms/layer', align: 'right' },
      { title: 'sessions', align: 'right' },
      { title: 'free context', align: 'right' }
    ],
    shards.map(shard => [
      printable(shard.model),
      layerRange(shard),
      (shard.secondsPerLayer * 1000).toFixed(2),
      String(shard.sessions),
      String(shard.freeContext)
    ])
  )
}

function taskLine({ what, model, layers, progress }: TaskView): string {
  const which = layers === undefined ? '' : ` layers ${layerRange(layers)}`
  return `${what} ${printable(model)}${which}: ${percent(progress)}`
}

export function peerLines(peers: readonly PeerView[], paint: Paint): string[] {
  if (peers.length === 0) return ['No nodes are known.']
  const rows = peers.map(peer => [
    (printable(peer.name) || '-') + (peer.self ? paint('dim', ' (this one)') : ''),
    shortPeer(peer.peer),
    stateText(peer, paint),
    pathText(peer, paint),
    milliseconds(peer.self ? undefined : peer.roundTripMs),
    hardwareText(peer),
    peer.shards.map(shard => `${printable(shard.model)} ${layerRange(shard)}`).join(', ') || '-',
    loadText(peer, paint)
  ])
  return table(
    [
      { title: 'name' },
      { title: 'peer' },
      { title: 'state' },
      { title: 'path' },
      { title: 'round trip', align: 'right' },
      { title: 'hardware' },
      { title: 'layers' },
      { title: 'load' }
    ],
    rows
  )
}

function stateText({ state, bannedSeconds }: PeerView, paint: Paint): string {
  return bannedSeconds === undefined ? state : paint('red', `banned for ${duration(bannedSeconds)}`)
}

/** Of a peer without a record nothing is known. */
function hardwareText({ hardware: { backend, memoryBytes } }: PeerView): string {
  return backend === '' ? '-' : `${printable(backend)}, ${bytes(memoryBytes)}`
}

function pathText({ path, relay }: PeerView, paint: Paint): string {
  const text = path === 'relayed' || path === 'unconnected' ? paint('yellow', path) : path
  return relay ? `${text}, relay` : text
}

/** Of each of its shards, in the order of their layers. Whoever is not online takes no sessions, whatever is free. */
function loadText({ state, shards }: PeerView, paint: Paint): string {
  if (state !== 'online') return '-'
  return shards.map(shard => shardLoad(shard, paint)).join('; ') || '-'
}

/** Steps, on average: fewer are as good as none. */
const FEWEST_WAITING = 0.05

function shardLoad({ freeSessions, freeContext, queue }: PeerShardView, paint: Paint): string {
  const isFull = freeSessions < 1 || freeContext < 1
  // Too few for an answer of the usual length, whatever its prompt.
  const few = freeContext <= DEFAULT_MAX_TOKENS ? `, ${count(freeContext, 'position')}` : ''
  const room = isFull ? paint('yellow', 'full') : `${freeSessions} free${few}`
  return queue < FEWEST_WAITING ? room : `${room}, ${queue.toFixed(1)} wait`
}

type Holder = ModelView['holders'][number]

export function modelLines(models: readonly ModelView[], paint: Paint): string[] {
  if (models.length === 0) return ['The swarm offers no models. Offer one with `flambeau share FILE.gguf`.']
  return models.flatMap((model, index) => [...(index === 0 ? [] : ['']), ...oneModel(model, paint)])
}

/** Whoever serves layers has their files too. */
function isSaidAlready({ peer, start, end, serving }: Holder, holders: readonly Holder[]): boolean {
  return !serving && holders.some(of => of.serving && of.peer === peer && of.start <= start && end <= of.end)
}

function oneModel(model: ModelView, paint: Paint): string[] {
  const state = model.complete
    ? paint('green', 'complete')
    : paint('yellow', `layers ${layerRanges(model.missing)} are served by nobody`)
  const facts = `${printable(model.architecture)}, ${count(model.layers, 'layer')}, ${shortHash(model.manifest)}`
  const holders = table(
    [{ title: '  layers' }, { title: 'node' }, { title: '' }],
    model.holders
      .filter(holder => !isSaidAlready(holder, model.holders))
      .map(holder => [
        `  ${layerRange(holder)}`,
        `${printable(holder.name)} ${paint('dim', shortPeer(holder.peer))}`,
        holder.serving ? 'serves' : 'holds the files'
      ])
  )
  return [`${paint('bold', printable(model.name))}  ${facts}: ${state}`, ...holders.slice(1)]
}
