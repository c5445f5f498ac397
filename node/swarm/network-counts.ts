/** What libp2p has open, and has opened so far. */
import { HELLO_PROTOCOL, PIECES_PROTOCOL, RELAY_PROTOCOL, STAGE_PROTOCOL, STATUS_PROTOCOL } from '../../protocol/ids.js'
import type { SwarmLibp2p } from './libp2p.js'
import { isRelayed } from './links.js'

/** Short names, by what tells a protocol; the first that fits. What others call theirs is `other`. */
const PROTOCOLS = [
  ['hello', HELLO_PROTOCOL],
  ['status', STATUS_PROTOCOL],
  ['stage', STAGE_PROTOCOL],
  ['relay', RELAY_PROTOCOL],
  ['pieces', PIECES_PROTOCOL],
  ['kad', '/kad/'],
  ['identify', '/flambeau/id/'],
  ['ping', '/flambeau/ping/'],
  ['autonat', '/flambeau/autonat/'],
  ['circuit', '/libp2p/circuit/']
] as const
const OTHER = 'other'

export type ProtocolName = (typeof PROTOCOLS)[number][0] | typeof OTHER
const NAMES: readonly ProtocolName[] = [...PROTOCOLS.map(([name]) => name), OTHER]

const DIRECTIONS = ['inbound', 'outbound'] as const
type Direction = (typeof DIRECTIONS)[number]
const PATHS = ['direct', 'relayed'] as const

/** Of one kind each; every kind is there. */
export interface NetworkReading {
  connections: readonly { direction: Direction; path: (typeof PATHS)[number]; count: number }[]
  /** Since the start. */
  opened: Readonly<Record<Direction, number>>
  streams: readonly { direction: Direction; protocol: ProtocolName; count: number }[]
  /** Peers that are being dialled, and that wait until these are done. */
  dials: { active: number; queued: number }
}

type Network = Pick<SwarmLibp2p, 'getConnections' | 'getDialQueue'>

export class NetworkCounts {
  readonly #libp2p: () => Network | undefined
  readonly #opened: Record<Direction, number> = { inbound: 0, outbound: 0 }

  /** @param libp2p undefined while there is none */
  constructor(libp2p: () => Network | undefined) {
    this.#libp2p = libp2p
  }

  /** Listener for libp2p's `connection:open`. */
  readonly onOpen = ({ detail: { direction } }: { detail: { direction: Direction } }): void => {
    this.#opened[direction]++
  }

  read(): NetworkReading {
    const libp2p = this.#libp2p()
    const connections = libp2p?.getConnections() ?? []
    const streams = connections.flatMap(connection => connection.streams)
    const dials = libp2p?.getDialQueue() ?? []
    const count = <Item>(items: readonly Item[], isOne: (item: Item) => boolean): number => items.filter(isOne).length
    return {
      connections: DIRECTIONS.flatMap(direction =>
        PATHS.map(path => ({
          ...{ direction, path },
          count: count(connections, one => one.direction === direction && isRelayed(one) === (path === 'relayed'))
        }))
      ),
      opened: { ...this.#opened },
      streams: NAMES.flatMap(protocol =>
        DIRECTIONS.map(direction => ({
          ...{ protocol, direction },
          count: count(streams, one => one.direction === direction && nameOf(one.protocol) === protocol)
        }))
      ),
      dials: {
        active: count(dials, ({ status }) => status === 'active'),
        queued: count(dials, ({ status }) => status === 'queued')
      }
    }
  }
}

/** @param protocol empty while it is being agreed on */
function nameOf(protocol: string): ProtocolName {
  return PROTOCOLS.find(([, part]) => protocol.includes(part))?.[0] ?? OTHER
}
