import type { Connection, Stream } from '@libp2p/interface'
import type { Service } from '../trust/constants.js'
import type { NodeRecord } from '../../protocol/node-record.js'

export type { HeldModel, NodeRecord, ServedShard } from '../../protocol/node-record.js'

/** A node of the swarm as this node sees it now. */
export interface NodeView {
  peer: string
  record: NodeRecord
  /** Seconds; undefined until measured. Zero for this node itself. */
  roundTrip: number | undefined
  /** `gone`: it cannot be dialled, and nobody has heard from it since. */
  path: 'self' | 'direct' | 'relayed' | 'unconnected' | 'gone'
  /** Milliseconds since 1970 of the last answer or record. */
  seen: number
  /** This node keeps the peer out for a while. */
  banned?: boolean
}

/** Layers of a model that no known node serves. */
export interface MissingLayers {
  /** Hash, hex. */
  manifest: string
  layers: readonly { start: number; end: number }[]
}

/** What other parts of the node see of the directory; never on the token path. */
export interface Directory {
  /** Every node with a record that has not expired, this one included. */
  nodes(): NodeView[]
  /** Asks the swarm again, now; with `missing` also the DHT for whoever serves these layers. */
  refresh(options?: { signal?: AbortSignal; missing?: MissingLayers }): Promise<void>
  addEventListener(type: 'change', listener: () => void): void
  removeEventListener(type: 'change', listener: () => void): void
}

/** What this node says of itself; the swarm adds identity, addresses, sequence and expiry, signs and publishes it. */
export type Announcement = Pick<NodeRecord, 'name' | 'state' | 'hardware' | 'models'>

export interface StreamHandlerOptions {
  /** Per connection. */
  maxInboundStreams?: number
  /** Whose limits for one peer hold: what is above them is reset. Without it the handler keeps limits itself. */
  service?: Service
}

export interface Swarm {
  readonly peer: string
  readonly directory: Directory
  /** Multiaddrs with /p2p/ that others can dial. */
  addresses(): string[]
  start(options?: { signal?: AbortSignal }): Promise<void>
  stop(): Promise<void>
  /** Replaces what this node says of itself. Resolves when its own directory has it; the others hear of it soon. */
  announce(announcement: Announcement): Promise<void>
  /** Dials if there is no connection yet; addresses are hints where the peer's own are not known. */
  connect(peer: string, options?: { addresses?: string[]; signal?: AbortSignal }): Promise<Connection>
  openStream(peer: string, protocol: string, options?: { addresses?: string[]; signal?: AbortSignal }): Promise<Stream>
  /** Seconds of one round trip, on a connection that is there or made for it. */
  ping(peer: string, options?: { signal?: AbortSignal }): Promise<number>
  handle(
    protocol: string,
    handler: (stream: Stream, connection: Connection) => void | Promise<void>,
    options?: StreamHandlerOptions
  ): Promise<void>
}
