import { piecesOf } from './manifest.js'
import type { Blob, Manifest } from './types.js'

/** A place in the model where a piece belongs. */
export interface PiecePlace {
  /** Undefined for the header. */
  tensor: string | undefined
  /** Bytes from the start of the tensor's data, or of the header. */
  start: number
  length: number
}

/** Where each piece of a model belongs, by hash; equal pieces have several places. */
export function indexPieces(manifest: Manifest): ReadonlyMap<string, readonly PiecePlace[]> {
  const index = new Map<string, PiecePlace[]>()
  const blobs: { tensor: string | undefined; blob: Blob }[] = [
    { tensor: undefined, blob: manifest.header },
    ...manifest.tensors.map(({ name, data }) => ({ tensor: name, blob: data }))
  ]
  for (const { tensor, blob } of blobs) {
    piecesOf(blob.size, manifest.pieceBytes).forEach((piece, i) => {
      const hash = blob.pieces[i] ?? ''
      const places = index.get(hash)
      if (places) places.push({ tensor, ...piece })
      else index.set(hash, [{ tensor, ...piece }])
    })
  }
  return index
}
