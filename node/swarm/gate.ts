import type { ConnectionGater, PeerId } from '@libp2p/interface'
import type { SwarmError } from './errors.js'

/** A refused peer is neither dialled nor let in for this long: long enough against loops, short enough to fix a mistake. */
const REFUSED_MILLISECONDS = 30_000
/** Refusals that are remembered; the oldest is forgotten first. */
const MAX_REFUSED = 1024

interface Refusal {
  error: SwarmError
  until: number
}

/** Who has said hello, and who was refused. */
export class Gate {
  readonly #now: () => number
  readonly #members = new Set<string>()
  readonly #refused = new Map<string, Refusal>()

  constructor({ now }: { now: () => number }) {
    this.#now = now
  }

  isMember(peer: string): boolean {
    return this.#members.has(peer)
  }

  admit(peer: string): void {
    this.#refused.delete(peer)
    this.#members.add(peer)
  }

  /** Not connected any more. */
  drop(peer: string): void {
    this.#members.delete(peer)
  }

  refuse(peer: string, error: SwarmError): void {
    this.#members.delete(peer)
    this.#refused.delete(peer)
    this.#refused.set(peer, { error, until: this.#now() + REFUSED_MILLISECONDS })
    const [oldest] = this.#refused.keys()
    if (this.#refused.size > MAX_REFUSED && oldest !== undefined) this.#refused.delete(oldest)
  }

  /** Why a peer is kept out now. */
  refusal(peer: string): SwarmError | undefined {
    const refusal = this.#refused.get(peer)
    if (refusal === undefined || refusal.until > this.#now()) return refusal?.error
    this.#refused.delete(peer)
    return undefined
  }

  /** For libp2p: refused peers stay out; circuits are for members, at both ends. */
  connectionGater(): ConnectionGater {
    const refused = (peer: PeerId): boolean => this.refusal(peer.toString()) !== undefined
    const stranger = (peer: PeerId): boolean => !this.isMember(peer.toString())
    return {
      denyDialPeer: refused,
      denyInboundEncryptedConnection: refused,
      denyInboundRelayReservation: stranger,
      denyOutboundRelayedConnection: (source, destination) => stranger(source) || stranger(destination)
    }
  }
}
