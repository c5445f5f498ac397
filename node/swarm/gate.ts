import type { ConnectionGater, PeerId } from '@libp2p/interface'
import { abortable, deadline } from '../deadline.js'
import { SwarmError } from './errors.js'

/** A refused peer is neither dialled nor let in for this long: long enough against loops, short enough to fix a mistake. */
const REFUSED_MILLISECONDS = 30_000
/** Refusals that are remembered; the oldest is forgotten first. */
const MAX_REFUSED = 1024

/** What a fresh connection asks for waits this long for its hello. */
export const HELLO_WAIT_MILLISECONDS = 2_000

type Waiter = (error: SwarmError | undefined) => void

interface GateParts {
  now: () => number
  isBanned?: (peer: string) => boolean
  /** Whether a peer has as many connections as one peer may. */
  isFull?: (peer: string) => boolean
}

interface Refusal {
  error: SwarmError
  until: number
}

/** Who has said hello, and who was refused. */
export class Gate {
  readonly #now: () => number
  readonly #isBanned: (peer: string) => boolean
  readonly #isFull: (peer: string) => boolean
  readonly #members = new Set<string>()
  readonly #refused = new Map<string, Refusal>()
  readonly #waiting = new Map<string, Set<Waiter>>()

  constructor({ now, isBanned = () => false, isFull = () => false }: GateParts) {
    this.#now = now
    this.#isBanned = isBanned
    this.#isFull = isFull
  }

  isMember(peer: string): boolean {
    return this.#members.has(peer) && !this.#isBanned(peer)
  }

  admit(peer: string): void {
    this.#refused.delete(peer)
    this.#members.add(peer)
    this.#wake(peer, undefined)
  }

  /** Not connected any more, or the hello failed. */
  drop(peer: string, error: SwarmError): void {
    this.#members.delete(peer)
    this.#wake(peer, error)
  }

  /** Whoever waits for a hello waits in vain. */
  close(error: (peer: string) => SwarmError): void {
    for (const peer of [...this.#waiting.keys()]) this.#wake(peer, error(peer))
  }

  /**
   * Resolves once the connected peer is a member.
   * @throws SwarmError that it was refused or dropped with; the signal's reason
   */
  async member(peer: string, signal: AbortSignal): Promise<void> {
    if (this.isMember(peer)) return
    const refusal = this.refusal(peer)
    if (refusal !== undefined) throw refusal
    const { promise, resolve, reject } = Promise.withResolvers<undefined>()
    const waiter: Waiter = error => (error === undefined ? resolve(undefined) : reject(error))
    const waiters = this.#waiting.get(peer) ?? new Set()
    this.#waiting.set(peer, waiters.add(waiter))
    try {
      await abortable(promise, signal)
    } finally {
      waiters.delete(waiter)
      if (waiters.size === 0) this.#waiting.delete(peer)
    }
  }

  refuse(peer: string, error: SwarmError): void {
    this.#members.delete(peer)
    this.#refused.delete(peer)
    this.#refused.set(peer, { error, until: this.#now() + REFUSED_MILLISECONDS })
    const [oldest] = this.#refused.keys()
    if (this.#refused.size > MAX_REFUSED && oldest !== undefined) this.#refused.delete(oldest)
    this.#wake(peer, error)
  }

  /** Why a peer is kept out now. */
  refusal(peer: string): SwarmError | undefined {
    if (this.#isBanned(peer)) return banned(peer)
    const refusal = this.#refused.get(peer)
    if (refusal === undefined || refusal.until > this.#now()) return refusal?.error
    this.#refused.delete(peer)
    return undefined
  }

  /** For libp2p: refused, banned and further connections of full peers stay out; circuits are for members, at both ends. */
  connectionGater(): ConnectionGater {
    const refused = (peer: PeerId): boolean => this.refusal(peer.toString()) !== undefined
    return {
      denyDialPeer: refused,
      denyInboundEncryptedConnection: peer => refused(peer) || this.#isFull(peer.toString()),
      denyOutboundEncryptedConnection: refused,
      // Who dials through a relay asks for the circuit together with its hello.
      denyInboundRelayReservation: source => this.#stranger(source),
      denyOutboundRelayedConnection: async (source, destination) =>
        !this.isMember(destination.toString()) || (await this.#stranger(source))
    }
  }

  async #stranger(id: PeerId): Promise<boolean> {
    const peer = id.toString()
    using limit = deadline(`the hello of ${peer}`, HELLO_WAIT_MILLISECONDS)
    await this.member(peer, limit.signal).catch(() => undefined)
    return !this.isMember(peer)
  }

  #wake(peer: string, error: SwarmError | undefined): void {
    for (const waiter of [...(this.#waiting.get(peer) ?? [])]) waiter(error)
  }
}

/** Why a banned peer is neither dialled nor let in. */
export function banned(peer: string): SwarmError {
  return new SwarmError('BANNED', `${peer} broke the rules too often and is banned for a while`, { details: { peer } })
}
