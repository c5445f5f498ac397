import type { PlacedNode } from '../scheduler/types.js'

/** Longer than any node waits until a move that is due pays for it: 15 hours, for one percent (`scheduler/rebalance.ts`). */
const PATIENCE_MILLISECONDS = 24 * 3_600_000

/**
 * For whose moves this node waits, and since when. Who is awaited for a day and does not move cannot, for its disk is full
 * or its network too slow, or does not mean to; it then counts as staying where it is, until it serves something else.
 */
export class Patience {
  readonly #now: () => number
  /** By what is served by whom, milliseconds. */
  readonly #since = new Map<string, number>()

  constructor({ now }: { now: () => number }) {
    this.#now = now
  }

  /** What others serve, as this node counts on them. */
  judged(served: readonly PlacedNode[]): PlacedNode[] {
    const known = new Set(served.map(keyOf))
    for (const key of this.#since.keys()) if (!known.has(key)) this.#since.delete(key)
    const earliest = this.#now() - PATIENCE_MILLISECONDS
    return served.map(node => ((this.#since.get(keyOf(node)) ?? Infinity) <= earliest ? staying(node) : node))
  }

  /** Its move should come first. Told with each look that finds so; the first time counts. */
  waitFor(node: PlacedNode): void {
    const key = keyOf(node)
    if (!this.#since.has(key)) this.#since.set(key, this.#now())
  }
}

function keyOf({ peer, start, end }: PlacedNode): string {
  return `${peer} ${start}-${end}`
}

function staying(node: PlacedNode): PlacedNode {
  return { ...node, memoryBytes: undefined }
}
