import { ModelError } from './errors.js'
import { piecesOf } from './manifest.js'
import type { WantedPiece } from './piece-queue.js'
import type { ShardPlan } from './shard.js'
import type { Manifest } from './types.js'

/** A piece of a shard: fetched once, written wherever the same bytes belong. */
export interface ShardPiece extends WantedPiece {
  size: number
  tensors: string[]
  /** Bytes from the start of the shard file. */
  places: number[]
}

/** The pieces that a shard needs, in the order of its file; what is a hole needs none. @throws ModelError BAD_MANIFEST */
export function wantedOf(manifest: Manifest, plan: ShardPlan): ShardPiece[] {
  const blobs = new Map(manifest.tensors.map(({ name, data }) => [name, data]))
  const wanted = new Map<string, ShardPiece>()
  for (const { source, offset, hole } of plan.tensors) {
    const blob = blobs.get(source)
    if (hole || !blob) continue
    piecesOf(blob.size, manifest.pieceBytes).forEach(({ start, length }, i) => {
      const hash = blob.pieces[i] ?? ''
      const piece = wanted.get(hash) ?? { hash, size: length, tensors: [], places: [] }
      if (piece.size !== length) throw new ModelError('BAD_MANIFEST', `the manifest gives piece ${hash} two sizes`)
      piece.places.push(offset + start)
      if (!piece.tensors.includes(source)) piece.tensors.push(source)
      wanted.set(hash, piece)
    })
  }
  return [...wanted.values()]
}
