import type { LayerRange } from '../../protocol/manifest.js'

/** A shard as far as chaining matters: it is entered at its first layer only and may be left at any later one. */
export interface Link extends LayerRange {
  peer: string
}

/** Whether a route may go from one shard straight to another. */
export function follows(before: Link, after: Link): boolean {
  return before.start < after.start && after.start <= before.end && before.peer !== after.peer
}

/** The shards that a route from layer 0 can reach, and those from which one can reach the last layer. */
export function reach<T extends Link>(layers: number, links: readonly T[]): { fromStart: T[]; toEnd: T[] } {
  const groups = byStart(layers, links)
  return { fromStart: reached(groups).flat(), toEnd: ending(layers, groups).flat() }
}

/** The shards that lie on at least one complete chain, by their first layer: whatever follows a shard that is reached is. */
export function chained<T extends Link>(layers: number, links: readonly T[]): T[] {
  return ending(layers, reached(byStart(layers, links))).flat()
}

/** Whether there is a complete chain. */
export function isComplete(layers: number, links: readonly Link[]): boolean {
  return chained(layers, links).length > 0
}

/** Shards that begin at the same layer, in ascending order of it. */
function byStart<T extends Link>(layers: number, links: readonly T[]): T[][] {
  const groups = Array.from({ length: layers }, (): T[] => [])
  for (const link of links) groups[link.start]?.push(link)
  return groups.filter(group => group.length > 0)
}

/** Of each group, what a route from layer 0 can reach. */
function reached<T extends Link>(groups: readonly T[][]): T[][] {
  const ends = new Farthest((a, b) => a > b)
  return groups.map(group => {
    const entered = group.filter(({ peer, start }) => start === 0 || (ends.notOf(peer) ?? -1) >= start)
    for (const { peer, end } of entered) ends.add(peer, end)
    return entered
  })
}

/** Of each group, that from which a route can reach the last layer. */
function ending<T extends Link>(layers: number, groups: readonly T[][]): T[][] {
  const starts = new Farthest((a, b) => a < b)
  const backwards = groups.toReversed().map(group => {
    const left = group.filter(({ peer, end }) => end === layers || (starts.notOf(peer) ?? Infinity) <= end)
    for (const { peer, start } of left) starts.add(peer, start)
    return left
  })
  return backwards.reverse()
}

/** The layer farthest on that any peer has reached, and the farthest of the others: no route goes from a peer to itself. */
class Farthest {
  readonly #isFarther: (a: number, b: number) => boolean
  #first: { peer: string; layer: number } | undefined
  #second: { peer: string; layer: number } | undefined

  constructor(isFarther: (a: number, b: number) => boolean) {
    this.#isFarther = isFarther
  }

  add(peer: string, layer: number): void {
    const reached = { peer, layer }
    if (this.#first === undefined || this.#isFarther(layer, this.#first.layer)) {
      if (this.#first?.peer !== peer) this.#second = this.#first
      this.#first = reached
    } else if (
      peer !== this.#first.peer &&
      (this.#second === undefined || this.#isFarther(layer, this.#second.layer))
    ) {
      this.#second = reached
    }
  }

  notOf(peer: string): number | undefined {
    return this.#first?.peer === peer ? this.#second?.layer : this.#first?.layer
  }
}
