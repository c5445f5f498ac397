/** The composition root: a node from its parts, in the order in which they depend on each other. */
import { randomBytes } from 'node:crypto'
import { Registry } from 'prom-client'
import { PIECES_PROTOCOL, RELAY_PROTOCOL, STAGE_PROTOCOL } from '../protocol/ids.js'
import { Availability } from './availability/availability.js'
import { readCpu } from './availability/cpu.js'
import { readGpu } from './availability/gpu.js'
import { Load } from './availability/load.js'
import { LISTEN_NOWHERE } from './config-schema.js'
import { shareBytes, type Config } from './config.js'
import { ControlServer } from './control/server.js'
import type { ControlService } from './control/service.js'
import { abortable, deadline } from './deadline.js'
import { COMPARISON_TIMES, EngineProcess } from './engine/engine.js'
import { openTokenizer } from './engine/tokenizer.js'
import { accuracyOf } from './estimate/accuracy.js'
import { Forecasts } from './estimate/forecasts.js'
import { EstimateHistory } from './estimate/history.js'
import { Planner } from './estimate/planner.js'
import { headLayers } from './estimate/size.js'
import { Keyring } from './gateway/keys/keyring.js'
import { Gateway } from './gateway/server.js'
import { readHardware } from './hardware.js'
import { Announcer } from './holding/announcer.js'
import { decideOnThread } from './holding/decide.js'
import { Holdings } from './holding/holdings.js'
import { Intents } from './holding/intents.js'
import { MemoryBudget } from './holding/memory-budget.js'
import { ModelLibrary } from './holding/library.js'
import { Rebalancer } from './holding/rebalancer.js'
import { ShardLoader } from './holding/shard-loader.js'
import { Sharer } from './holding/share.js'
import { Tasks } from './holding/tasks.js'
import { prepareHome, type Home } from './home.js'
import { Lifecycle, type Component } from './lifecycle.js'
import type { Logger } from './logger.js'
import { libp2pMetrics } from './metrics/libp2p.js'
import { NodeMetrics } from './metrics/metrics.js'
import { PieceServer } from './models/piece-server.js'
import { ModelStore } from './models/store.js'
import { RETIRE_MS } from './pipeline/constants.js'
import { Origin } from './pipeline/origin.js'
import { openRelay } from './pipeline/relay-link.js'
import type { ServedShard } from './pipeline/served-shard.js'
import { ShardRegistry } from './pipeline/shard-registry.js'
import { localStage, remoteStage } from './pipeline/stage-channel.js'
import { StageHost } from './pipeline/stage-host.js'
import { serveRelay, serveStage } from './pipeline/stage-streams.js'
import { TokenizerCache } from './pipeline/tokenizer-cache.js'
import { NodeService } from './service.js'
import { describeAhead } from './swarm/clocks.js'
import { SwarmError } from './swarm/errors.js'
import { reasonOf } from './swarm/stream-reasons.js'
import { loadOrCreateIdentity } from './swarm/identity.js'
import type { Membership } from './swarm/membership.js'
import { SwarmNode } from './swarm/swarm.js'
import type { NodeView } from './swarm/types.js'
import { MAX_STREAMS_OF_CONNECTION } from './trust/constants.js'
import { Trust } from './trust/trust.js'
import { AGENT } from './version.js'
import { modelViews, peerViews } from './views.js'

const ENGINE_CHILD = new URL('./engine/child.js', import.meta.url)
const TOKENIZER_CHILD = new URL('./engine/tokenizer-child.js', import.meta.url)
const DECIDE_THREAD = new URL('./holding/decide-thread.js', import.meta.url)

/** Milliseconds in which a command that joins by itself must have met the swarm: a few dials, some of them in vain. */
const CONTACT_MS = 10_000

export interface NodeOptions {
  home: Home
  config: Config
  membership: Membership
  logger: Logger
  signal?: AbortSignal
}

export interface RunningNode {
  service: ControlService
  /** Idempotent. */
  stop(): Promise<void>
  /** Settles when the node has stopped, for whatever reason. */
  closed: Promise<void>
}

/** A node that serves layers and answers on the home's control socket. */
export async function startDaemon(options: NodeOptions): Promise<RunningNode> {
  const { parts, run } = await compose(options, { originOnly: false })
  const { engine, swarm, store, trust, host, shards, metrics, service } = parts
  for (const damaged of store.damaged()) options.logger.warn(damaged, 'a stored model cannot be read; it is left alone')
  engine.addEventListener('lost', () => {
    host.engineLost()
    shards.engineLost()
  })
  shards.addEventListener('relieve', event => host.moveFrom((event as CustomEvent<ServedShard>).detail, RETIRE_MS))
  engine.addEventListener('ready', () => {
    shards.engineReady().catch((err: unknown) => options.logger.error({ err }, 'shards cannot be loaded again'))
  })
  // Above what a peer may: whoever is refused here is told, and counted.
  const streams = { maxInboundStreams: MAX_STREAMS_OF_CONNECTION }
  await swarm.handle(STAGE_PROTOCOL, serveStage(host, { traffic: metrics.traffic.stage.peer }), streams)
  await swarm.handle(RELAY_PROTOCOL, serveRelay(host, { traffic: metrics.traffic.relay.peer }), streams)
  await swarm.handle(PIECES_PROTOCOL, new PieceServer({ store, trust }).handle, streams)
  const answers = metrics.answers(service)
  const control = new ControlServer({ service, answers, logger: options.logger }, options.home)
  // The control socket comes first: it makes sure that only one daemon uses the home.
  return run([
    control,
    engine,
    parts.tokenizers,
    parts.history,
    swarm,
    parts.origin,
    host,
    parts.announcer,
    parts.availability,
    parts.holdings,
    parts.rebalancer,
    parts.gateway
  ])
}

/** A node for the length of one command: it asks, and serves nothing. */
export async function openNode(options: NodeOptions): Promise<RunningNode> {
  const { parts, run } = await compose(options, { originOnly: true })
  const node = await run([parts.tokenizers, parts.history, parts.swarm, parts.origin])
  try {
    await firstContact(parts.swarm, options)
    return node
  } catch (error) {
    await node.stop()
    throw error
  }
}

/** Until a node of the swarm is connected and has told what it knows. @throws SwarmError PEER_UNREACHABLE, CLOCK_WRONG */
async function firstContact({ directory, clocks }: SwarmNode, { membership, signal }: NodeOptions): Promise<void> {
  using limit = deadline('reaching the swarm', CONTACT_MS, signal)
  const met = Promise.withResolvers<undefined>()
  const look = (): void => {
    if (directory.nodes().some(({ path }) => path === 'direct' || path === 'relayed')) met.resolve(undefined)
  }
  directory.addEventListener('change', look)
  look()
  try {
    await abortable(met.promise, limit.signal)
  } catch (cause) {
    signal?.throwIfAborted()
    if (clocks.ahead !== undefined) throw wrongClock(membership.name, clocks.ahead)
    const advice =
      membership.bootstrap.length === 0
        ? 'It was begun here: start its first node with `flambeau up`.'
        : 'Ask whoever invited you whether one is up, or for a new invitation.'
    throw new SwarmError(
      'PEER_UNREACHABLE',
      `No node of the swarm "${membership.name}" answers within ${CONTACT_MS / 1_000} s. ${advice}`,
      { details: { swarm: membership.id, bootstrap: membership.bootstrap }, cause }
    )
  } finally {
    directory.removeEventListener('change', look)
  }
}

function wrongClock(swarm: string, ahead: number): SwarmError {
  const message =
    `The swarm "${swarm}" answers, but its clock is ${describeAhead(ahead)}, so what it says does not count. ` +
    "Set this machine's clock; if it is right, tell the others."
  return new SwarmError('CLOCK_WRONG', message, { details: { aheadMilliseconds: ahead } })
}

/** All interfaces at the port, unless the owner named addresses, or none at all. */
function listenAddresses({ listen, port }: Config['network']): string[] {
  if (listen[0] === LISTEN_NOWHERE) return []
  return listen.length > 0 ? listen : [`/ip4/0.0.0.0/tcp/${port}`, `/ip6/::/tcp/${port}`]
}

const servesLayers = ({ record }: NodeView): boolean => record.models.some(({ shards }) => shards.length > 0)

async function compose(options: NodeOptions, { originOnly }: { originOnly: boolean }) {
  const { home, config, membership, logger } = options
  prepareHome(home)
  const now = (): number => performance.now()
  const hardware = await readHardware()
  const { context, sessions: sequences, batch } = config.engine

  const store = new ModelStore({ root: home.modelsFolder })
  await store.start()
  const engine = new EngineProcess({ childModule: ENGINE_CHILD, logger }, config.engine)
  // On the CPU, which reads the file as it goes: the GPU may be too small for a whole model, and has shards to serve.
  const makeCheckEngine = (): EngineProcess =>
    new EngineProcess({ childModule: ENGINE_CHILD, logger }, { ...config.engine, backend: 'cpu' }, COMPARISON_TIMES)
  const memory = new MemoryBudget(
    { engine },
    { freeBytes: hardware.memoryFree, share: freeBytes => shareBytes(config.share.memory, freeBytes) }
  )
  const tokenizers = new TokenizerCache({
    openTokenizer: async headerFile => openTokenizer({ childModule: TOKENIZER_CHILD, logger }, { headerFile })
  })
  const identity = await loadOrCreateIdentity(home.identityFile)
  const trust = new Trust({ now, warn: (facts, message) => logger.warn(facts, message) }, { self: identity.peer })
  const registry = new Registry()
  const swarm = new SwarmNode(
    { identity, logger, trust, metrics: libp2pMetrics(registry) },
    {
      ...config.network,
      listen: listenAddresses(config.network),
      membership,
      agent: AGENT,
      clientOnly: originOnly,
      datastoreFolder: originOnly ? undefined : home.datastoreFolder
    }
  )
  const { directory } = swarm
  const metrics = new NodeMetrics({ registry, directory, now })

  const shards = new ShardRegistry(
    { engine, waiting: trust.waiting, onStep: metrics.step, now },
    { context, sequences, batch }
  )
  const host = new StageHost({
    ...{ shards, trust, self: identity.peer, now },
    openRelay: async (next, handlers) => {
      const onLost = (error: Error): void => {
        const reason = reasonOf(error)
        if (reason !== undefined) trust.refuse(reason, next.peer)
        handlers.onLost(error)
      }
      return openRelay({ swarm, traffic: metrics.traffic.relay.here }, next, { ...handlers, onLost })
    },
    isStage: peer => directory.nodes().some(node => node.peer === peer && servesLayers(node))
  })
  const library = new ModelLibrary({ store, directory, swarm, trust, logger })
  const intents = new Intents()
  const tasks = new Tasks({ logger })
  const loader = new ShardLoader({ store, shards, library, tasks }, { context })
  const holdings = new Holdings(
    { store, shards, loader, intents, directory, memory, logger },
    { models: config.share.models, layers: config.share.layers }
  )
  // An engine that is stopped or restarts says nothing; the hardware is the same.
  let info = engine.info
  const engineInfo = (): typeof info => (info = engine.info ?? info)
  const availability = new Availability(
    {
      ...{ host, holdings, engine, logger },
      now: Date.now,
      load: config.schedule.yield
        ? new Load({
            ...{ readCpu, readGpu },
            computing: () => host.sessions > 0,
            usesGpu: () => (engineInfo()?.backend ?? 'cpu') !== 'cpu'
          })
        : undefined
    },
    config.schedule
  )
  const rebalancer = new Rebalancer(
    {
      ...{ holdings, loader, shards, store, directory, intents, memory, logger },
      decide: async (request, signal) => decideOnThread(DECIDE_THREAD, request, signal)
    },
    { peer: () => swarm.peer, random: Math.random }
  )
  const announcer = new Announcer({ swarm, store, shards, intents }, () => ({
    name: config.name,
    state: availability.state === 'leaving' ? 'draining' : availability.state,
    hardware: {
      backend: engineInfo()?.backend ?? 'cpu',
      device: engineInfo()?.devices[0]?.description ?? hardware.cpu,
      threads: config.engine.threads,
      memoryBytes: memory.bytes
    }
  }))
  availability.addEventListener('change', () => void announcer.update().catch(() => undefined)) // the next one says it all
  const origin = new Origin({
    directory,
    library,
    tokenizers,
    session: {
      openChannel: async (stage, handlers, { signal }) =>
        stage.local
          ? localStage(host, swarm.peer, handlers)
          : remoteStage({ swarm, traffic: metrics.traffic.stage.here }, stage, handlers, { signal }),
      ping: async (peer, { signal }) => swarm.ping(peer, { signal }),
      now
    }
  })
  const history = new EstimateHistory({ logger }, { file: home.estimatesFile })
  const forecasts = new Forecasts(
    {
      ...{ directory, history, wallNow: Date.now },
      headLayers: id => {
        const model = store.get(id)
        return model === undefined ? 0 : headLayers(model.manifest)
      }
    },
    { rowsPerStep: batch }
  )
  const planner = new Planner({ directory, store, library, memory, forecasts }, { context })
  const sharer = new Sharer(
    { store, makeEngine: makeCheckEngine, onShared: () => void announcer.update() },
    { folder: home.modelsFolder }
  )

  const lifecycle = new Lifecycle({ logger })
  const stop = async (): Promise<void> => lifecycle.stop()
  const service: NodeService = new NodeService({
    home,
    config,
    membership,
    swarm,
    store,
    engine,
    shards,
    holdings,
    tasks,
    memory,
    announcer,
    availability,
    trust,
    host,
    origin,
    planner,
    forecasts,
    history,
    sharer,
    lifecycle,
    gatewayUrl: () => gateway.url,
    pageUrl: () => gateway.pageUrl
  })
  const keyring = new Keyring({ logger, now, wallNow: Date.now }, home)
  const health = { metrics, status: async () => service.status() }
  const page = {
    service,
    known: () => {
      const nodes = directory.nodes()
      return { peers: peerViews(nodes, trust.bans()), models: modelViews(nodes) }
    },
    accuracy: async () => accuracyOf(await service.estimates()),
    secret: randomBytes(32).toString('base64url'),
    positions: () => metrics.positions
  }
  const gateway = new Gateway({ service, logger, keyring, health, page }, config.gateway)
  const run = async (components: readonly Component[]): Promise<RunningNode> => {
    await lifecycle.start(components, options)
    return { service, stop, closed: lifecycle.closed }
  }
  return {
    run,
    parts: {
      store,
      engine,
      tokenizers,
      swarm,
      trust,
      shards,
      host,
      origin,
      holdings,
      rebalancer,
      announcer,
      availability,
      gateway,
      metrics,
      history,
      service
    }
  }
}
