import type { LayerRange } from '../../protocol/manifest.js'
import type { PlacedNode, PlacedShard } from '../../node/scheduler/types.js'
import type { Clock } from './clock.js'

/** What all nodes said up to a moment. */
export interface Snapshot {
  served: readonly PlacedNode[]
  claims: readonly PlacedShard[]
}

/** How a swarm hears of changes: in rounds of this many seconds, as `node/swarm/directory.ts` has them. */
export const ROUND_SECONDS = 10
/** A node knows what was said in one of so many last rounds: news reaches some peers at once, others after half a minute. */
export const ROUNDS_BEHIND = 3

/** What a node says of itself. */
export interface Said extends Pick<PlacedNode, 'peer' | 'layersPerSecond' | 'memoryBytes'> {
  range?: LayerRange | undefined
  claim?: LayerRange | undefined
}

/** The directory as nodes see it: late, each a little differently. */
export class SimulatedDirectory {
  readonly #clock: Clock
  readonly #said = new Map<string, Said>()
  readonly #snapshots: Snapshot[] = []
  #changed = true
  /** Called with each snapshot that differs from the one before; nodes see it by as many rounds later as they are behind. */
  onSnapshot: (snapshot: Snapshot) => void = () => undefined

  constructor(clock: Clock) {
    this.#clock = clock
    this.#round()
  }

  say(said: Said): void {
    this.#said.set(said.peer, said)
    this.#changed = true
  }

  forget(peer: string): void {
    this.#said.delete(peer)
    this.#changed = true
  }

  /** What a node knows that is `behind` rounds late. The same object as long as nothing changes. */
  seen(behind: number): Snapshot {
    return this.#snapshots.at(-1 - Math.min(behind, this.#snapshots.length - 1)) ?? { served: [], claims: [] }
  }

  #round(): void {
    const last = this.#snapshots.at(-1)
    const isNew = this.#changed || last === undefined
    const snapshot = isNew ? this.#snapshot() : last
    this.#snapshots.push(snapshot)
    if (this.#snapshots.length > ROUNDS_BEHIND) this.#snapshots.shift()
    this.#changed = false
    if (isNew) this.onSnapshot(snapshot)
    this.#clock.after(ROUND_SECONDS, () => this.#round())
  }

  #snapshot(): Snapshot {
    const served: PlacedNode[] = []
    const claims: PlacedShard[] = []
    for (const { peer, layersPerSecond, memoryBytes, range, claim } of this.#said.values()) {
      if (range !== undefined) served.push({ peer, layersPerSecond, memoryBytes, ...range })
      if (claim !== undefined) claims.push({ peer, layersPerSecond, ...claim })
    }
    return { served, claims }
  }
}
