import type { Connection, PeerId, Stream } from '@libp2p/interface'
import { STATUS_PROTOCOL } from '../../protocol/ids.js'
import { MAX_ADDRESSES, MAX_LATENCIES } from '../../protocol/limits.js'
import { isCircuit, isPublic, withoutLoopback } from './addresses.js'
import { Bootstrap } from './bootstrap.js'
import { Clocks } from './clocks.js'
import { recordSelectors, recordValidators } from './dht-records.js'
import { layerKeys, SwarmDht } from './dht.js'
import { Dialer, type ConnectOptions } from './dialer.js'
import { DirectPaths } from './direct-paths.js'
import { SwarmDirectory } from './directory.js'
import { SwarmError } from './errors.js'
import { Trust } from '../trust/trust.js'
import { banned, Gate } from './gate.js'
import { Hello } from './hello.js'
import type { Identity } from './identity.js'
import { libp2pLogger, type LogSink } from './libp2p-logger.js'
import { createSwarmLibp2p, type MetricsOf, type SwarmLibp2p } from './libp2p.js'
import { Links } from './links.js'
import { checkPorts, startListening } from './listen.js'
import { membersOnly, type MemberHandler } from './members-only.js'
import { PeerDatastore } from './peer-datastore.js'
import { Periodic } from './periodic.js'
import { Publisher } from './publisher.js'
import { RecordBook } from './record-book.js'
import { RelayClient } from './relay-client.js'
import { RoundTrips } from './round-trips.js'
import { resolveSettings, type ResolvedSwarmSettings, type SwarmSettings } from './settings.js'
import { StatusExchange } from './status.js'
import { MAX_CONNECTIONS_OF_PEER, type Service } from '../trust/constants.js'
import type { StreamHandler } from './wire.js'
import type { Announcement, StreamHandlerOptions, Swarm } from './types.js'

/** Streams of one protocol that one connection may have open here. */
const MAX_INBOUND_STREAMS = 256
/** The record and the providers go to the DHT this often, and when what they say of layers changes. */
const DHT_MILLISECONDS = 60_000
/** Stopping tells the neighbours, as long as they take no longer than this. */
const GOODBYE_MILLISECONDS = 1_000
/** Stopping waits this long for connections to close. */
const STOP_MILLISECONDS = 5_000
/** Connections below which discovered peers are dialled. */
const ROOM = 64

interface SwarmNodeParts {
  identity: Identity
  logger: LogSink
  /** By default its own, which nobody else asks. */
  trust?: Trust
  /** By default nobody counts. */
  metrics?: MetricsOf | undefined
  /** Milliseconds since 1970. */
  now?: () => number
}

interface Network {
  libp2p: SwarmLibp2p
  hello: Hello
  bootstrap: Bootstrap
  relayClient: RelayClient
  directPaths: DirectPaths
  datastore: PeerDatastore | undefined
}

export type { SwarmSettings } from './settings.js'

/** This node in its swarm: the composition of everything in this folder. */
export class SwarmNode implements Swarm {
  readonly peer: string
  readonly directory: SwarmDirectory
  readonly clocks: Clocks
  readonly #identity: Identity
  readonly #logger: LogSink
  readonly #now: () => number
  readonly #settings: ResolvedSwarmSettings
  readonly #trust: Trust
  readonly #metrics: MetricsOf | undefined
  readonly #gate: Gate
  readonly #book: RecordBook
  readonly #status: StatusExchange
  readonly #dht: SwarmDht
  readonly #links: Links
  readonly #publisher: Publisher
  readonly #toDht: Periodic
  readonly #dialer: Dialer
  readonly #handlers = new Map<string, { handler: MemberHandler; options: StreamHandlerOptions }>()
  #announcement: Announcement | undefined
  #network: Network | undefined
  #starting: Promise<void> | undefined
  #stopping: Promise<void> | undefined

  constructor(parts: SwarmNodeParts, settings: SwarmSettings) {
    const { identity, logger, trust = new Trust(), metrics, now = Date.now } = parts
    this.#identity = identity
    this.#logger = logger
    this.#now = now
    this.#trust = trust
    this.#metrics = metrics
    this.peer = identity.peer
    this.#settings = resolveSettings(settings)
    const { membership, agent, relay, clientOnly } = this.#settings
    const swarm = membership.id
    const roundTrips = new RoundTrips()
    this.#links = new Links(() => this.#network?.libp2p)
    const isBanned = (peer: string): boolean => trust.isBanned(peer)
    this.#gate = new Gate({ now, isBanned, isFull: peer => this.#isFull(peer) })
    const isKept = (peer: string): boolean => peer === this.peer || this.#gate.isMember(peer)
    this.#book = new RecordBook({ now, onChange: news => this.#onRecord(news), isKept }, { swarm })
    this.#dht = new SwarmDht({ dht: () => this.#started().libp2p.services.dht, logger }, { swarm })
    this.#publisher = new Publisher(
      {
        key: identity.privateKey,
        now,
        logger,
        facts: () => ({ addresses: this.addresses(), latencies: roundTrips.latencies(MAX_LATENCIES) }),
        publish: envelope => this.#publish(envelope)
      },
      { swarm, agent, relay }
    )
    const own = (): Promise<Uint8Array | undefined> =>
      clientOnly ? Promise.resolve(undefined) : this.#publisher.envelope()
    // Whoever runs a single command is told when the command fails for it.
    this.clocks = new Clocks({ warn: (facts, message) => (clientOnly ? undefined : logger.warn?.(facts, message)) })
    this.#status = new StatusExchange({ book: this.#book, roundTrips, clocks: this.clocks, trust, own })
    this.#dialer = new Dialer({
      network: () => this.#started(),
      gate: this.#gate,
      links: this.#links,
      book: this.#book,
      now
    })
    this.directory = new SwarmDirectory({
      ...{ self: this.peer, book: this.#book, roundTrips, links: this.#links, status: this.#status, dht: this.#dht },
      members: () => this.#members(),
      dial: (peer, signal) => this.#dialer.connect(peer, { signal }),
      isBanned,
      ...{ now, logger }
    })
    this.#toDht = new Periodic(
      { work: signal => this.#publishToDht(signal), logger },
      { milliseconds: DHT_MILLISECONDS }
    )
  }

  addresses(): string[] {
    const addresses = this.#network?.libp2p.getMultiaddrs().map(String) ?? []
    const rank = (address: string): number => (isPublic(address) ? 0 : isCircuit(address) ? 2 : 1)
    return withoutLoopback(addresses)
      .sort((a, b) => rank(a) - rank(b))
      .slice(0, MAX_ADDRESSES)
  }

  /**
   * Listens and begins to join; does not wait for other nodes.
   * @throws SwarmError PORT_TAKEN, LISTEN_FAILED, ADDRESS_INVALID
   */
  async start({ signal }: { signal?: AbortSignal } = {}): Promise<void> {
    if (this.#stopping !== undefined) throw new SwarmError('NOT_STARTED', 'a stopped swarm node does not start again')
    signal?.throwIfAborted()
    this.#starting ??= this.#start()
    try {
      await this.#starting
      signal?.throwIfAborted()
    } catch (error) {
      await this.stop()
      throw error
    }
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#stop()
    return this.#stopping
  }

  async announce(announcement: Announcement): Promise<void> {
    const before = this.#announcement
    this.#announcement = announcement
    this.#publisher.announce(announcement)
    if (before === undefined || gist(before) !== gist(announcement)) this.#toDht.poke()
    // What cannot be signed is the publisher's to report.
    const envelope = await this.#publisher.envelope().catch(() => undefined)
    if (envelope !== undefined) await this.#book.learn(envelope).catch(() => undefined)
  }

  connect(peer: string, options: ConnectOptions = {}): Promise<Connection> {
    return this.#dialer.connect(peer, options)
  }

  openStream(peer: string, protocol: string, options: ConnectOptions = {}): Promise<Stream> {
    return this.#dialer.openStream(peer, protocol, options)
  }

  ping(peer: string, options: ConnectOptions = {}): Promise<number> {
    return this.#dialer.ping(peer, options)
  }

  /** Streams of peers that have not said hello are reset; a fresh connection's wait a moment for it. */
  async handle(protocol: string, handler: MemberHandler, options: StreamHandlerOptions = {}): Promise<void> {
    this.#handlers.set(protocol, { handler, options })
    if (this.#network !== undefined) await this.#register(this.#network, protocol)
  }

  async #start(): Promise<void> {
    const { listen, datastoreFolder } = this.#settings
    await checkPorts(listen)
    const datastore = datastoreFolder === undefined ? undefined : new PeerDatastore(datastoreFolder)
    await datastore?.open()
    try {
      this.#network = await this.#build(datastore)
    } catch (error) {
      await datastore?.close()
      throw error
    }
    await this.#run(this.#network)
  }

  async #build(datastore: PeerDatastore | undefined): Promise<Network> {
    const { membership, agent, clientOnly, listen, announce, mdns, upnp, relay } = this.#settings
    const libp2p = await createSwarmLibp2p({
      ...{ swarm: membership.id, key: membership.key, privateKey: this.#identity.privateKey, agent, datastore },
      ...{ listen, announce, mdns, upnp, relay, dhtClient: clientOnly || listen.length === 0 },
      gater: this.#gate.connectionGater(),
      validators: recordValidators({ book: this.#book, trust: this.#trust }),
      selectors: recordSelectors(),
      guard: handler => this.#membersOnly(handler, 'dht'),
      ...{ metrics: this.#metrics, logger: libp2pLogger(this.#logger) }
    })
    const { peer, sinks } = { peer: this.peer, sinks: { libp2p, logger: this.#logger } }
    const isMember = (other: string): boolean => this.#gate.isMember(other)
    const hello = new Hello(
      { ...sinks, gate: this.#gate, trust: this.#trust, onMember: other => void this.#met(other) },
      { swarm: membership.id, agent }
    )
    const bootstrap = new Bootstrap(
      { ...sinks, isConnected: isMember, hasRoom: () => libp2p.getPeers().length < ROOM },
      { self: peer, addresses: [...new Set([...this.#settings.bootstrap, ...membership.bootstrap])] }
    )
    const relayClient = new RelayClient(
      { ...sinks, book: this.#book, links: this.#links, isMember },
      { listens: listen.length > 0 }
    )
    const directPaths = new DirectPaths({
      ...{ ...sinks, book: this.#book, links: this.#links, now: this.#now },
      members: () => this.#members()
    })
    return { libp2p, hello, bootstrap, relayClient, directPaths, datastore }
  }

  async #run(network: Network): Promise<void> {
    const { libp2p, hello, bootstrap } = network
    await hello.start()
    if (!this.#settings.clientOnly) {
      await this.handle(
        STATUS_PROTOCOL,
        this.#status.handler(() => this.#publisher.envelope()),
        { service: 'status' }
      )
    }
    for (const protocol of this.#handlers.keys()) await this.#register(network, protocol)
    this.#trust.addEventListener('ban', this.#onBan)
    libp2p.addEventListener('self:peer:update', this.#onAddresses)
    libp2p.addEventListener('connection:open', this.#onConnection)
    libp2p.addEventListener('connection:close', this.#onConnection)
    libp2p.addEventListener('peer:disconnect', this.#onDisconnect)
    await startListening(libp2p, this.#settings.listen)
    this.directory.start()
    bootstrap.start()
    network.directPaths.poke()
    if (this.#settings.clientOnly) return
    this.#publisher.start()
    this.#toDht.poke()
  }

  async #register({ libp2p }: Network, protocol: string): Promise<void> {
    const entry = this.#handlers.get(protocol)
    if (entry === undefined) return
    const { service, maxInboundStreams = MAX_INBOUND_STREAMS } = entry.options
    const handler = this.#membersOnly(entry.handler, service)
    await libp2p.handle(protocol, handler, { maxInboundStreams, maxOutboundStreams: maxInboundStreams, force: true })
  }

  #membersOnly(handler: MemberHandler, service: Service | undefined): StreamHandler {
    return membersOnly({ gate: this.#gate, trust: this.#trust, logger: this.#logger }, handler, service)
  }

  async #stop(): Promise<void> {
    // What is half started cannot be stopped; why the start failed is for whoever called it.
    await within(
      STOP_MILLISECONDS,
      this.#starting?.catch(() => undefined)
    )
    await within(GOODBYE_MILLISECONDS, this.#sayGoodbye())
    const network = this.#network
    this.#network = undefined
    this.#trust.removeEventListener('ban', this.#onBan)
    this.directory.stop()
    this.#publisher.stop()
    this.#toDht.stop()
    if (network === undefined) return
    network.bootstrap.stop()
    network.relayClient.stop()
    network.directPaths.stop()
    network.hello.stop()
    await within(STOP_MILLISECONDS, Promise.resolve(network.libp2p.stop()))
    await network.datastore?.close()
  }

  /** Otherwise the others would offer this node's layers until its record expires. */
  async #sayGoodbye(): Promise<void> {
    if (this.#network === undefined || this.#announcement === undefined || this.#settings.clientOnly) return
    this.#publisher.announce({ ...this.#announcement, state: 'draining', models: [] })
    await this.directory.tell()
  }

  #started(): Network {
    if (this.#network !== undefined) return this.#network
    throw new SwarmError('NOT_STARTED', 'the swarm node is not running')
  }

  #members(): string[] {
    const peers = this.#network?.libp2p.getPeers().map(String) ?? []
    return peers.filter(peer => this.#gate.isMember(peer))
  }

  async #met(peer: string): Promise<void> {
    await this.directory.met(peer)
    if (this.#settings.clientOnly) return
    this.#network?.relayClient.poke()
    if (this.#members().length === 1) this.#toDht.poke()
  }

  async #publish(envelope: Uint8Array): Promise<void> {
    await this.#book.learn(envelope)
    await this.directory.tell()
  }

  async #publishToDht(signal: AbortSignal): Promise<void> {
    // Without peers kad-dht would wait for one.
    if (this.#members().length === 0) return
    await this.#dht.store(this.peer, await this.#publisher.envelope(), signal)
    await this.#dht.provide(this.#announcement?.models ?? [], signal)
  }

  #onRecord(news: boolean): void {
    this.directory.changed(news)
    if (news) this.#network?.directPaths.poke()
  }

  readonly #onAddresses = (): void => {
    if (!this.#settings.clientOnly) this.#publisher.changed()
  }

  /** In the next turn: the refusal that it is for goes out first. */
  readonly #onBan = (event: Event): void => {
    setImmediate(() => this.#expel((event as CustomEvent<string>).detail))
  }

  #expel(peer: string): void {
    const error = banned(peer)
    this.#gate.drop(peer, error)
    const connections = this.#network?.libp2p.getConnections() ?? []
    for (const connection of connections) if (connection.remotePeer.toString() === peer) connection.abort(error)
    this.directory.changed()
  }

  #isFull(peer: string): boolean {
    if (this.#links.count(peer) < MAX_CONNECTIONS_OF_PEER) return false
    this.#trust.refuse('TOO_MANY', peer)
    return true
  }

  readonly #onConnection = (): void => this.directory.changed()

  readonly #onDisconnect = ({ detail }: CustomEvent<PeerId>): void => this.directory.lost(detail.toString())
}

/** What the DHT's records say: where layers are, not how busy they are. */
function gist({ state, models }: Announcement): string {
  return [state, ...layerKeys(models)].join(' ')
}

async function within(milliseconds: number, promise: Promise<void> | undefined): Promise<void> {
  const { promise: late, resolve } = Promise.withResolvers<undefined>()
  const timer = setTimeout(() => resolve(undefined), milliseconds)
  try {
    await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}
