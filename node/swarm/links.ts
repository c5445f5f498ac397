import type { Connection, Libp2p } from '@libp2p/interface'
import { peerIdFromString } from '@libp2p/peer-id'
import { isCircuit } from './addresses.js'

/** How a connected peer is reached. */
export type LinkPath = 'direct' | 'relayed' | 'unconnected'

/** Connections as the swarm sees them: direct ones first, never a limited one. */
export class Links {
  readonly #libp2p: () => Pick<Libp2p, 'getConnections'> | undefined

  /** @param libp2p - undefined before the start */
  constructor(libp2p: () => Pick<Libp2p, 'getConnections'> | undefined) {
    this.#libp2p = libp2p
  }

  best(peer: string): Connection | undefined {
    const connections = this.#libp2p()?.getConnections(peerIdFromString(peer)) ?? []
    const open = connections.filter(({ status, limits }) => status === 'open' && limits === undefined)
    return open.find(connection => !isRelayed(connection)) ?? open[0]
  }

  /** Connections with a peer, whoever dialled and in whatever state. */
  count(peer: string): number {
    return this.#libp2p()?.getConnections(peerIdFromString(peer)).length ?? 0
  }

  path(peer: string): LinkPath {
    const connection = this.best(peer)
    if (connection === undefined) return 'unconnected'
    return isRelayed(connection) ? 'relayed' : 'direct'
  }
}

export function isRelayed(connection: Connection): boolean {
  return isCircuit(connection.remoteAddr.toString())
}
