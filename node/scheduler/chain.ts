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
  const ascending = links.toSorted((a, b) => a.start - b.start)
  const fromStart: T[] = []
  for (const link of ascending) {
    if (link.start === 0 || fromStart.some(before => follows(before, link))) fromStart.push(link)
  }
  const toEnd: T[] = []
  for (const link of ascending.reverse()) {
    if (link.end === layers || toEnd.some(after => follows(link, after))) toEnd.push(link)
  }
  return { fromStart, toEnd }
}

/** The shards that lie on at least one complete chain. */
export function chained<T extends Link>(layers: number, links: readonly T[]): Set<T> {
  const { fromStart, toEnd } = reach(layers, links)
  const ending = new Set(toEnd)
  return new Set(fromStart.filter(link => ending.has(link)))
}
