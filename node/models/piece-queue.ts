/** A piece that is to be fetched. */
export interface WantedPiece {
  /** SHA-256, hex. */
  hash: string
  /** Bytes; undefined for a manifest, whose hash is all that is known of it. */
  size: number | undefined
  /** Tensors of the model that have it; empty for what every holder of the model has. */
  tensors: readonly string[]
}

/** Pieces still to be fetched, those on their way, and who turned out not to have which. Does no I/O. */
export class PieceQueue<P extends WantedPiece> {
  private readonly pending: Map<string, P>
  private readonly onTheWay = new Map<string, P>()
  private readonly refusals = new Map<string, Set<string>>()

  constructor(pieces: Iterable<P>) {
    this.pending = new Map([...pieces].map(piece => [piece.hash, piece]))
  }

  get finished(): boolean {
    return this.pending.size === 0 && this.onTheWay.size === 0
  }

  /** Up to `most` pending pieces that `peer` may have; they are on their way from now on. */
  take(peer: string, has: (piece: P) => boolean, most: number): P[] {
    const taken: P[] = []
    for (const piece of this.pending.values()) {
      if (taken.length === most) break
      if (this.may(peer, has, piece)) taken.push(piece)
    }
    for (const piece of taken) {
      this.pending.delete(piece.hash)
      this.onTheWay.set(piece.hash, piece)
    }
    return taken
  }

  /** Whether some pending piece could come from `peer`. */
  wants(peer: string, has: (piece: P) => boolean): boolean {
    for (const piece of this.pending.values()) if (this.may(peer, has, piece)) return true
    return false
  }

  done(piece: P): void {
    this.onTheWay.delete(piece.hash)
  }

  /** The piece did not come: it is pending again. */
  release(piece: P): void {
    if (this.onTheWay.delete(piece.hash)) this.pending.set(piece.hash, piece)
  }

  /** `peer` does not have this piece: it is pending again, for others. */
  refuse(piece: P, peer: string): void {
    this.release(piece)
    const peers = this.refusals.get(piece.hash) ?? new Set()
    this.refusals.set(piece.hash, peers.add(peer))
  }

  /** What has not come yet. */
  missing(): P[] {
    return [...this.pending.values(), ...this.onTheWay.values()]
  }

  private may(peer: string, has: (piece: P) => boolean, piece: P): boolean {
    return this.refusals.get(piece.hash)?.has(peer) !== true && has(piece)
  }
}
