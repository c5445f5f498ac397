/** Who has room for what. Pure; bytes. */
import type { MissingRange } from '../control/plan.js'
import type { Footprint } from '../holding/footprint.js'
import type { LayerRange } from '../models/types.js'
import { isOnline } from '../pipeline/catalogue.js'
import { bytesOfRange } from '../scheduler/fit.js'
import type { NodeView } from '../swarm/types.js'

/** By manifest; undefined where nothing is known of the model's size. */
export type FootprintOf = (manifest: string) => Footprint | undefined

/** Online nodes that serve, or would. */
export function givers(nodes: readonly NodeView[]): NodeView[] {
  return nodes.filter(node => isOnline(node) && node.record.hardware.memoryBytes > 0)
}

/** What the node's shards leave of what its owner gives; undefined where the size of one of them is not known. */
export function freeBytes({ record }: NodeView, footprintOf: FootprintOf): number | undefined {
  let free = record.hardware.memoryBytes
  for (const { manifest, shards } of record.models) {
    if (shards.length === 0) continue
    const footprint = footprintOf(manifest)
    if (footprint === undefined) return undefined
    for (const shard of shards) free -= bytesOfRange(footprint, shard)
  }
  return free
}

/** Layers that nobody serves, each range with the nodes that have room for all of it, the roomiest first. */
export function missingRanges(
  { manifest, missing }: { manifest: string; missing: readonly LayerRange[] },
  nodes: readonly NodeView[],
  footprintOf: FootprintOf
): MissingRange[] {
  const footprint = footprintOf(manifest)
  const rooms = givers(nodes).flatMap(node => {
    const free = freeBytes(node, footprintOf)
    return free === undefined ? [] : [{ peer: node.peer, name: node.record.name, freeBytes: free }]
  })
  return missing.map(({ start, end }) => {
    const bytes = footprint && bytesOfRange(footprint, { start, end })
    const takers = bytes === undefined ? [] : rooms.filter(room => room.freeBytes >= bytes)
    return { start, end, bytes, takers: takers.sort((a, b) => b.freeBytes - a.freeBytes) }
  })
}
