import type { LayerRange } from '../models/types.js'
import { missingLayers } from '../scheduler/coverage.js'
import type { PlacedNode, PlacementRequest } from '../scheduler/types.js'

const HOUR = 3_600_000
/** Longer than any node waits until a move that is due pays for it, which is 32 hours (`scheduler/rebalance.ts`). */
const PATIENCE_MILLISECONDS = 36 * HOUR
/** Layers that nobody serves are not left for longer to somebody who claims them. */
const HOLE_PATIENCE_MILLISECONDS = HOUR

type Others = Pick<PlacementRequest, 'layers' | 'served' | 'claims'>

/**
 * For whom this node waits, and how long it has in all: for those whose moves are due, and for those that claim layers and
 * do not serve them yet. Who keeps it waiting for a day and a half cannot move, for its disk is full or its network too
 * slow, or does not mean to; it then counts as staying where it is, and its claim for nothing, until it serves something else.
 */
export class Patience {
  readonly #now: () => number
  /** By peer. */
  readonly #waits = new Map<string, Wait>()

  constructor({ now }: { now: () => number }) {
    this.#now = now
  }

  /** What others serve and claim, as this node counts on them that serves `range`. */
  judged<T extends Others>(others: T, range: LayerRange): T {
    this.#forget(others)
    const missing = missingLayers(others.layers, [...others.served, range])
    const claims = others.claims.filter(claim => {
      const isOfHole = missing.some(({ start, end }) => start < claim.end && claim.start < end)
      return this.#waited(claim.peer) < (isOfHole ? HOLE_PATIENCE_MILLISECONDS : PATIENCE_MILLISECONDS)
    })
    const served = others.served.map(node => {
      return this.#waited(node.peer) < PATIENCE_MILLISECONDS ? node : { ...node, memoryBytes: undefined }
    })
    return { ...others, served, claims }
  }

  /** From now on, until told otherwise, this node waits for these peers and for nobody else. */
  waitFor(peers: readonly string[], { served }: Pick<Others, 'served'>): void {
    for (const [peer, wait] of this.#waits) {
      wait.milliseconds = this.#waited(peer)
      wait.since = undefined
    }
    const since = this.#now()
    const ranges = rangesByPeer(served)
    for (const peer of peers) {
      const { serves, milliseconds } = this.#waits.get(peer) ?? { serves: ranges.get(peer), milliseconds: 0 }
      this.#waits.set(peer, { serves, milliseconds, since })
    }
  }

  #waited(peer: string): number {
    const wait = this.#waits.get(peer)
    if (wait === undefined) return 0
    return wait.milliseconds + (wait.since === undefined ? 0 : this.#now() - wait.since)
  }

  /** Who serves something else now, or is gone. */
  #forget({ served, claims }: Others): void {
    const claiming = new Set(claims.map(({ peer }) => peer))
    const ranges = rangesByPeer(served)
    for (const [peer, { serves }] of this.#waits) {
      const isGone = !ranges.has(peer) && !claiming.has(peer)
      if (isGone || ranges.get(peer) !== serves) this.#waits.delete(peer)
    }
  }
}

interface Wait {
  /** What the peer served when it was first waited for; undefined: nothing. */
  serves: string | undefined
  /** For how long it was waited for before `since`. */
  milliseconds: number
  /** When this node began to wait for it again, milliseconds; undefined: it does not now. */
  since: number | undefined
}

function rangesByPeer(served: readonly PlacedNode[]): Map<string, string> {
  const ranges = new Map<string, string>()
  for (const { peer, start, end } of served.toSorted((a, b) => a.start - b.start || a.end - b.end))
    ranges.set(peer, `${ranges.get(peer) ?? ''} ${start}-${end}`)
  return ranges
}
