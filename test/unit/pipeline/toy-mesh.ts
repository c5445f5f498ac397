import type { Connection, Stream } from '@libp2p/interface'
import { RELAY_PROTOCOL } from '../../../protocol/ids.js'
import type { LayerRange } from '../../../node/models/types.js'
import { type Journal, JournalShelf } from '../../../node/pipeline/journal.js'
import { openRelay } from '../../../node/pipeline/relay-link.js'
import { PipelineError } from '../../../node/pipeline/errors.js'
import type { RingSessionParts } from '../../../node/pipeline/ring-session.js'
import type { Reroute, RoutePlanner, SessionPlan, SessionStage } from '../../../node/pipeline/session-types.js'
import { planRoute } from '../../../node/scheduler/routing.js'
import { ShardRegistry } from '../../../node/pipeline/shard-registry.js'
import { localStage, remoteStage } from '../../../node/pipeline/stage-channel.js'
import { StageHost } from '../../../node/pipeline/stage-host.js'
import { serveRelay, serveStage } from '../../../node/pipeline/stage-streams.js'
import { yamuxPair } from '../swarm/stream-pair.js'
import { LayerEngine, VOCABULARY, WIDTH } from './layer-engine.js'

export const MANIFEST = 'ab'.repeat(32)
export const LAYERS = 6
export const ORIGIN = 'origin'

export interface ToyNode {
  peer: string
  engine: LayerEngine
  shards: ShardRegistry
  host: StageHost
  journals: OpenShelf
}

export interface ToyNodeOptions {
  range: LayerRange
  context?: number
  sequences?: number
  batch?: number
}

/** A stream between two nodes, as the test may break it. */
export interface OpenStream {
  from: string
  to: string
  protocol: string
  near: Stream
  far: Stream
}

/**
 * Nodes with toy engines and the pipeline's real parts, connected by in-memory Yamux streams. `origin` is a node like the
 * others and may have layers too.
 */
export class ToyMesh {
  readonly nodes = new Map<string, ToyNode>()
  readonly streams: OpenStream[] = []
  /** Which streams fail to open. */
  unreachable: (stream: Pick<OpenStream, 'from' | 'to' | 'protocol'>) => boolean = () => false
  readonly pinged: string[] = []
  readonly reroutes: Reroute[] = []
  /** Nodes that the directory does not show. */
  readonly hidden = new Set<string>()
  readonly #dead = new Set<string>()
  /** Whether a node is slow that takes so many seconds for a token. */
  isSlow: (peer: string, seconds: number) => boolean = () => false
  /** Told when nobody is found; true: look again. */
  lookAround: (attempt: number) => Promise<boolean> = () => Promise.resolve(false)
  ping: (peer: string) => Promise<unknown> = () => Promise.resolve(0.001)
  now: () => number = () => performance.now()

  async add(peer: string, { range, context = 512, sequences = 4, batch = 64 }: ToyNodeOptions): Promise<ToyNode> {
    const engine = new LayerEngine()
    const shards = new ShardRegistry({ engine }, { context, sequences, batch })
    const journals = new OpenShelf()
    const host = new StageHost({
      ...{ shards, journals },
      openRelay: async (next, handlers) => openRelay({ swarm: this.#swarmOf(peer) }, next, handlers),
      now: () => this.now()
    })
    engine.addEventListener('lost', () => {
      host.engineLost()
      shards.engineLost()
    })
    await shards.serve({ manifest: MANIFEST, file: { file: peer, architecture: 'toy', ...range, layers: LAYERS } })
    engine.steps.length = 0
    engine.released.length = 0
    const node = { peer, engine, shards, host, journals }
    this.nodes.set(peer, node)
    return node
  }

  node(peer: string): ToyNode {
    const node = this.nodes.get(peer)
    if (node === undefined) throw new Error(`no node ${peer}`)
    return node
  }

  /** What an origin at `origin` needs: the route begins with these peers; what is lost is looked for among all nodes. */
  parts(route: readonly string[]): RingSessionParts {
    return {
      planner: this.#planner(route),
      onReroute: reroute => this.reroutes.push(reroute),
      openChannel: async (stage, handlers, options) =>
        stage.local
          ? localStage(this.node(ORIGIN).host, ORIGIN, handlers)
          : remoteStage({ swarm: this.#swarmOf(ORIGIN) }, stage, handlers, options),
      ping: async peer => {
        this.pinged.push(peer)
        return this.ping(peer)
      },
      now: () => this.now()
    }
  }

  plan(options: Partial<SessionPlan> = {}): SessionPlan {
    const model = { manifest: MANIFEST, layers: LAYERS, vocabulary: VOCABULARY, width: WIDTH }
    return { ...model, context: 128, dtype: 'f16', ...options }
  }

  /** The route through these nodes in this order, each left where the next one begins. */
  #route(peers: readonly string[]): SessionStage[] {
    const ranges = peers.map(peer => this.node(peer).shards.list()[0]?.facts.range ?? { start: 0, end: LAYERS })
    return peers.map((peer, i): SessionStage => {
      const { start, end } = ranges[i] ?? { start: 0, end: LAYERS }
      return { peer, start, end, leave: ranges[i + 1]?.start ?? end, local: peer === ORIGIN, addresses: [] }
    })
  }

  #planner(first: readonly string[]): RoutePlanner {
    let opened = false
    return {
      find: (segment, exclude) => {
        if (!opened) {
          opened = true
          return this.#route(first)
        }
        const plan = planRoute({
          ...{
            layers: LAYERS,
            cuts: [1, 2, 3, 4, 5],
            context: 1,
            hopSeconds: 0,
            latency: () => 0.001,
            exclude,
            segment
          },
          shards: [...this.nodes.values()]
            .filter(({ peer }) => !this.hidden.has(peer))
            .flatMap(({ peer, shards }) =>
              shards.list().map(({ facts }) => ({
                ...{ ...facts.range, peer, local: peer === ORIGIN, originLatency: 0.001 },
                ...{ secondsPerLayer: 0.001, queue: 0, freeSessions: 1, freeContext: 1 }
              }))
            )
        })
        return plan.kind === 'route' ? plan.stages.map(stage => ({ ...stage, addresses: [] })) : undefined
      },
      isSlow: (_, { stage, seconds }) => this.isSlow(stage.peer, seconds),
      lookAround: async ({ attempt }) => this.lookAround(attempt),
      explain: (_, failure) => failure ?? new PipelineError('NO_ROUTE', 'nobody')
    }
  }

  /** Nothing of any session is left on any node. */
  get idle(): boolean {
    return [...this.nodes.values()].every(
      ({ host, engine, shards }) =>
        host.sessions === 0 && engine.held === 0 && shards.list().every(({ sessions }) => sessions === 0)
    )
  }

  /** What the node keeps for replays is too much all of a sudden. */
  forget(peer: string): void {
    for (const journal of this.node(peer).journals.all) journal.drop()
  }

  /** The node is gone from one moment to the next, and nobody has told the directory. */
  kill(peer: string): void {
    this.#dead.add(peer)
    for (const { from, to, near, far } of this.streams) {
      if (from === peer || to === peer) for (const end of [near, far]) end.abort(new Error('out of power'))
    }
    this.node(peer).host.stop()
  }

  stop(): void {
    for (const { near } of this.streams) near.abort(new Error('the test is over'))
    for (const { host } of this.nodes.values()) host.stop()
  }

  #swarmOf(from: string): { openStream: (to: string, protocol: string) => Promise<Stream> } {
    return {
      openStream: async (to, protocol) => {
        if (this.#dead.has(to) || this.unreachable({ from, to, protocol }))
          throw new Error(`${to} cannot be reached from ${from}`)
        const { host } = this.node(to)
        const [near, far] = await yamuxPair()
        this.streams.push({ from, to, protocol, near, far })
        const serve = protocol === RELAY_PROTOCOL ? serveRelay : serveStage
        void serve(host)(far, connectionFrom(from))
        return near
      }
    }
  }
}

/** Shows its journals. */
class OpenShelf extends JournalShelf {
  readonly all = new Set<Journal>()

  override open(): Journal {
    const journal = super.open()
    this.all.add(journal)
    return journal
  }

  override close(journal: Journal): void {
    super.close(journal)
    this.all.delete(journal)
  }
}

/** As much of a connection as a handler looks at. */
export function connectionFrom(peer: string): Connection {
  return { remotePeer: { toString: () => peer } } as unknown as Connection
}
