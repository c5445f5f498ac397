import { autoNATv2 } from '@libp2p/autonat-v2'
import { circuitRelayServer, circuitRelayTransport } from '@libp2p/circuit-relay-v2'
import { identify, identifyPush, type Identify, type IdentifyPush } from '@libp2p/identify'
import type { ComponentLogger, ConnectionGater, Libp2p, Metrics, PrivateKey } from '@libp2p/interface'
import { passthroughMapper, type KadDHT, type Selectors, type Validators } from '@libp2p/kad-dht'
import { mdns } from '@libp2p/mdns'
import { ping, type Ping } from '@libp2p/ping'
import { preSharedKey } from '@libp2p/pnet'
import { tcp } from '@libp2p/tcp'
import { uPnPNAT } from '@libp2p/upnp-nat'
import { createLibp2p, type Libp2pOptions } from 'libp2p'
import { kadProtocol } from '../../protocol/ids.js'
import { swarmKad, type StreamGuard } from './kad.js'
import { OwnAddresses, type OwnAddressesComponents } from './own-addresses.js'
import type { PeerDatastore } from './peer-datastore.js'
import { encrypters, muxers } from './transport.js'

/** First part of the ids of libp2p's own protocols, so that public IPFS nodes are strangers. */
const PREFIX = 'flambeau'

const SECOND = 1000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE

/** Connections: a swarm of this size is a full mesh, above it the least useful ones are closed. */
const MAX_CONNECTIONS = 300
/** New connections a second from one address: many members may sit behind one NAT, or on one machine. */
const INBOUND_CONNECTIONS_PER_SECOND = 50
const MAX_PARALLEL_DIALS = 30
/** All addresses of a peer together. */
const DIAL_TIMEOUT = 20 * SECOND
/** One address: the next one must get its turn when this one is a black hole. */
const ADDRESS_DIAL_TIMEOUT = 3 * SECOND
/** Connections are pinged this often, and closed when one ping takes longer than the second: a busy machine is not dead. */
const PING_INTERVAL = 15 * SECOND
const PING_TIMEOUT = 15 * SECOND
/** Pings under way on one connection: its own, and one for each session that waits for the peer. */
const MAX_PINGS = 128
/** Circuits that a relay reserves; each costs memory for one connection. */
const MAX_RESERVATIONS = 128
/** Peer-store entries outlive provider records, or kad-dht answers GET_PROVIDERS with a reset. */
const MAX_PEER_AGE = 48 * HOUR
/** Provider records: gone soon after the provider is. */
const REPROVIDE = { validity: 30 * MINUTE, threshold: 15 * MINUTE, interval: 5 * MINUTE }
/** The first self-query, before which other queries wait. */
const FIRST_SELF_QUERY = 100
const MDNS_INTERVAL = 10 * SECOND

export interface SwarmLibp2pSettings {
  /** Swarm id, hex. */
  swarm: string
  /** Pre-shared key of a closed swarm, 32 bytes. */
  key: Uint8Array | undefined
  privateKey: PrivateKey
  agent: string
  /** Multiaddrs; none: this node only dials. */
  listen: string[]
  /** Multiaddrs announced next to those that are found out. */
  announce: string[]
  mdns: boolean
  upnp: boolean
  /** Passes circuits on for members. */
  relay: boolean
  /** Stores nothing for the DHT: for nodes that nobody reaches. */
  dhtClient: boolean
  gater: ConnectionGater
  validators: Validators
  selectors: Selectors
  /** Whom the DHT answers. */
  guard: StreamGuard
  logger: ComponentLogger
  /** Undefined: nothing is counted. */
  metrics: MetricsOf | undefined
  /** Where the peer store is kept; undefined: in memory. */
  datastore: PeerDatastore | undefined
}

/** What libp2p counts of itself goes there. */
export type MetricsOf = (components: { logger: ComponentLogger }) => Metrics

export interface SwarmServices extends Record<string, unknown> {
  identify: Identify
  identifyPush: IdentifyPush
  ping: Ping
  dht: KadDHT
  ownAddresses: OwnAddresses
}

export type SwarmLibp2p = Libp2p<SwarmServices>

/** The configured libp2p node, not started. Why each setting: the constants above. */
export async function createSwarmLibp2p(settings: SwarmLibp2pSettings): Promise<SwarmLibp2p> {
  const { swarm, key, listen, announce, logger } = settings
  let own: OwnAddresses | undefined
  const ownAddresses = (components: OwnAddressesComponents): OwnAddresses => (own = new OwnAddresses(components))
  const options: Libp2pOptions<SwarmServices> = {
    start: false,
    privateKey: settings.privateKey,
    nodeInfo: { name: PREFIX, userAgent: settings.agent },
    logger,
    addresses: {
      ...{ listen, appendAnnounce: announce },
      announceFilter: verified => own?.announced(verified) ?? verified
    },
    transports: [tcp(), circuitRelayTransport()],
    connectionEncrypters: encrypters(),
    streamMuxers: muxers(),
    connectionGater: settings.gater,
    connectionManager: {
      maxConnections: MAX_CONNECTIONS,
      inboundConnectionThreshold: INBOUND_CONNECTIONS_PER_SECOND,
      maxParallelDials: MAX_PARALLEL_DIALS,
      dialTimeout: DIAL_TIMEOUT,
      addressDialTimeout: ADDRESS_DIAL_TIMEOUT
    },
    connectionMonitor: {
      protocolPrefix: PREFIX,
      pingInterval: PING_INTERVAL,
      pingTimeout: { minTimeout: PING_TIMEOUT }
    },
    peerStore: { maxPeerAge: MAX_PEER_AGE },
    peerDiscovery: settings.mdns ? [mdns({ serviceTag: serviceTag(swarm), interval: MDNS_INTERVAL })] : [],
    services: services(settings, ownAddresses)
  }
  if (key !== undefined) options.connectionProtector = preSharedKey({ psk: protectorKey(key) })
  if (settings.metrics !== undefined) options.metrics = settings.metrics
  if (settings.datastore !== undefined) options.datastore = settings.datastore
  return createLibp2p(options)
}

function services(
  settings: SwarmLibp2pSettings,
  ownAddresses: (components: OwnAddressesComponents) => OwnAddresses
): NonNullable<Libp2pOptions<SwarmServices>['services']> {
  const optional = {
    ...(settings.relay && {
      relay: circuitRelayServer({ reservations: { maxReservations: MAX_RESERVATIONS, applyDefaultLimit: false } })
    }),
    ...(settings.upnp && settings.listen.length > 0 && { upnp: uPnPNAT() }),
    ...(settings.listen.length > 0 && { autonat: autoNATv2({ protocolPrefix: PREFIX }) })
  }
  return {
    ...optional,
    identify: identify({ protocolPrefix: PREFIX }),
    identifyPush: identifyPush({ protocolPrefix: PREFIX }),
    ping: ping({ protocolPrefix: PREFIX, maxInboundStreams: MAX_PINGS, maxOutboundStreams: MAX_PINGS }),
    dht: swarmKad(
      {
        protocol: kadProtocol(settings.swarm),
        clientMode: settings.dhtClient,
        peerInfoMapper: passthroughMapper,
        initialQuerySelfInterval: FIRST_SELF_QUERY,
        reprovide: REPROVIDE,
        validators: settings.validators,
        selectors: settings.selectors
      },
      settings.guard
    ),
    ownAddresses
  }
}

/** A swarm's own name on the local network; a DNS label has at most 63 bytes. */
function serviceTag(swarm: string): string {
  return `_flambeau-${swarm.slice(0, 16)}._udp.local`
}

/** The file format that @libp2p/pnet reads. */
function protectorKey(key: Uint8Array): Uint8Array {
  return new TextEncoder().encode(`/key/swarm/psk/1.0.0/\n/base16/\n${Buffer.from(key).toString('hex')}`)
}
