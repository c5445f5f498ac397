/** Who holds what in a chaos run, and whether that is enough. Pure. */

/** Layers `[start, end)`. */
export interface Held {
  start: number
  end: number
}

/** Of the toy. */
export const LAYERS = 8

/**
 * What each node holds. Node 0 is the origin: it is never struck, and where it serves nothing the others still have every
 * layer two or three times. The last one can take the place of two stages at once.
 */
export const LAYOUT: readonly Held[] = [
  { start: 0, end: 3 },
  { start: 0, end: 3 },
  { start: 0, end: 3 },
  { start: 3, end: 6 },
  { start: 3, end: 6 },
  { start: 6, end: 8 },
  { start: 6, end: 8 },
  { start: 3, end: 8 }
]

export const ORIGIN = 0

/** Whether these nodes can answer: a chain of shards, each entered at its start and left at any of its layers. */
export function isComplete(nodes: readonly number[]): boolean {
  const reached = new Set([0])
  for (let at = 0; at < LAYERS; at++) {
    if (!reached.has(at)) continue
    for (const node of nodes) {
      const { start, end } = LAYOUT[node] ?? { start: 0, end: 0 }
      if (start !== at) continue
      for (let leave = start + 1; leave <= end; leave++) reached.add(leave)
    }
  }
  return reached.has(LAYERS)
}

export function holdersOf(layer: number): number[] {
  return [...LAYOUT.keys()].filter(node => {
    const { start, end } = LAYOUT[node] ?? { start: 0, end: 0 }
    return start <= layer && layer < end
  })
}

/**
 * Which node a blow falls on: the preferred one where the others that live can still answer without it, else the first
 * one for which that is so. Undefined: none may fall.
 */
export function victim(preferred: number, living: readonly number[]): number | undefined {
  const candidates = [preferred, ...living].filter(node => node !== ORIGIN && living.includes(node))
  return candidates.find(node => isComplete(living.filter(other => other !== node)))
}
