import { CodedError } from '../../protocol/errors.js'
import { FairShare } from '../trust/fair-share.js'

/** A shard has no room for another session, or for a longer one. */
export class NoRoomError extends CodedError<'NO_SEQUENCE' | 'NO_CONTEXT'> {
  override name = 'NoRoomError'
}

/** How much there is: of sequences, and of KV positions for all of them together. */
export interface RoomSize {
  sequences: number
  context: number
}

/** A sequence and KV positions that one session has. */
export interface Place {
  readonly sequence: number
  /**
   * Needs only so many positions, and gives way to whoever needs its room.
   * @param giveWay ends the session, which leaves at once
   */
  rest(context: number, giveWay: () => void): void
  /** With so many positions from now on. @throws NoRoomError; it keeps what it had */
  resume(context: number): void
  /** Once. */
  leave(): void
}

/** The sequences and KV positions of a shard's context, who has them, and who gives way: whoever has rested longest first. */
export class Room {
  readonly #size: RoomSize
  readonly #share: FairShare
  readonly #free: number[]
  /** Positions of all places. */
  #reserved = 0
  /** Those that rest, the longest first. */
  readonly #resting = new Map<Place, { context: number; giveWay: () => void }>()

  /** @param now - milliseconds, monotonic */
  constructor(size: RoomSize, { now }: { now: () => number }) {
    this.#size = size
    this.#share = new FairShare({ now })
    this.#free = Array.from({ length: size.sequences }, (_, i) => size.sequences - 1 - i)
  }

  /** Without those that rest. */
  get sessions(): number {
    return this.#size.sequences - this.freeSessions
  }

  get freeSessions(): number {
    return this.#free.length + this.#resting.size
  }

  /** Positions. */
  get freeContext(): number {
    const resting = [...this.#resting.values()].reduce((sum, { context }) => sum + context, 0)
    return this.#size.context - this.#reserved + resting
  }

  /** @param peer - undefined: this node's owner, who is never held back. @throws NoRoomError */
  enter(context: number, peer: string | undefined): Place {
    this.#make({ sequences: 1, context }, peer)
    const sequence = this.#free.pop()
    if (sequence === undefined) throw new RangeError('there is room, and no sequence')
    this.#reserved += context
    this.#share.entered(peer)
    return this.#place({ sequence, context }, peer)
  }

  #place({ sequence, context: first }: { sequence: number; context: number }, peer: string | undefined): Place {
    let context = first
    const set = (positions: number): void => {
      this.#reserved += positions - context
      context = positions
    }
    const place: Place = {
      sequence,
      rest: (positions, giveWay) => {
        set(positions)
        this.#share.left(peer)
        this.#resting.set(place, { context, giveWay })
      },
      resume: positions => {
        this.#resting.delete(place)
        this.#share.entered(peer)
        this.#make({ sequences: 0, context: positions - context }, peer)
        set(positions)
      },
      leave: () => {
        if (!this.#resting.delete(place)) this.#share.left(peer)
        set(0)
        this.#free.push(sequence)
      }
    }
    return place
  }

  /** As much has to be free: those that rest give way. @throws NoRoomError where that is not enough; nobody has left then */
  #make(needed: RoomSize, peer: string | undefined): void {
    const { context, sequences } = this.#size
    const leaves = this.#share.mustLeaveRoom(peer)
    const sessions = needed.sequences + (leaves ? 1 : 0)
    const positions = needed.context + (leaves ? Math.floor(context / sequences) : 0)
    if (this.freeSessions < sessions || this.freeContext < positions) {
      this.#share.turnedAway(peer)
      throw this.#noRoom(needed, leaves)
    }
    for (const { giveWay } of [...this.#resting.values()]) {
      if (this.#free.length >= sessions && this.#size.context - this.#reserved >= positions) return
      giveWay()
    }
  }

  #noRoom({ context }: RoomSize, leaves: boolean): NoRoomError {
    const why = leaves ? ', and others want the rest' : ''
    const lent = leaves ? Math.floor(this.#size.context / this.#size.sequences) : 0
    const free = this.freeContext - lent
    return context > free
      ? new NoRoomError('NO_CONTEXT', `${context} positions asked, ${Math.max(0, free)} free${why}`)
      : new NoRoomError('NO_SEQUENCE', `${this.sessions} sequences are taken${why}`)
  }
}
