import type { Connection, Stream } from '@libp2p/interface'
import { pipe } from 'it-pipe'
import { MAX_PIECES_FRAME_BYTES, MAX_PIECES_REQUEST_BYTES } from '../../protocol/limits.js'
import { decodePiecesRequest, encodePiece, type PiecesRequest } from '../../protocol/pieces.js'
import { ProtocolError } from '../../protocol/protocol-error.js'
import type { Trust } from '../trust/trust.js'
import { deadline, DeadlineError } from '../deadline.js'
import { decoder, encoder, readFrom, writeTo } from '../swarm/wire.js'
import type { ModelStore } from './store.js'

export interface PieceServerSettings {
  /** Streams served at a time, of all peers; others are told BUSY. A stream holds two pieces in memory. */
  maxStreams: number
  /** Streams of one peer, so that one cannot take all. */
  maxStreamsOfPeer: number
  /** A stream that takes longer is reset: it is a slow reader's, or a dead one's. */
  milliseconds: number
  /** From a stream's beginning to its whole request: until then it holds a place for nothing. */
  requestMilliseconds: number
}

const DEFAULTS: PieceServerSettings = {
  maxStreams: 32,
  maxStreamsOfPeer: 8,
  milliseconds: 600_000,
  requestMilliseconds: 10_000
}

interface PieceServerParts {
  store: Pick<ModelStore, 'get' | 'readPiece'>
  /** How often peers may ask, and where refusals count; absent: as often as they like, and nowhere else. */
  trust?: Pick<Trust, 'enter' | 'refuse'>
}

export interface PieceServerCounters {
  /** Pieces and their bytes that were handed over. */
  pieces: number
  bytes: number
  /** Requests turned away because of the limits. */
  refused: number
}

/**
 * Answers `/flambeau/pieces/1.0.0`: one request a stream, its pieces in the order asked. A piece is read only when the
 * stream has room for it.
 */
export class PieceServer {
  readonly counters: PieceServerCounters = { pieces: 0, bytes: 0, refused: 0 }
  private readonly store: PieceServerParts['store']
  private readonly trust: PieceServerParts['trust']
  private readonly settings: PieceServerSettings
  private readonly active = new Map<string, number>()
  private total = 0

  constructor({ store, trust }: PieceServerParts, settings: Partial<PieceServerSettings> = {}) {
    this.store = store
    this.trust = trust
    this.settings = { ...DEFAULTS, ...settings }
  }

  /** The handler to register with the swarm. */
  readonly handle = async (stream: Stream, connection: Connection): Promise<void> => {
    const peer = connection.remotePeer.toString()
    using allowed = this.trust?.enter(peer, 'pieces')
    const tooMany = this.trust !== undefined && allowed === undefined
    const busy = tooMany || !this.enter(peer)
    if (busy && !tooMany) this.trust?.refuse('BUSY')
    const { requestMilliseconds } = this.settings
    const late = new DeadlineError('waiting for a request for pieces', requestMilliseconds)
    const asking = setTimeout(() => stream.abort(late), requestMilliseconds)
    try {
      using limit = deadline('serving pieces', this.settings.milliseconds)
      const { signal } = limit
      await pipe(
        readFrom(stream, { signal }),
        decoder(MAX_PIECES_REQUEST_BYTES),
        requests => this.answer(requests, { busy, onRequest: () => clearTimeout(asking) }),
        encoder(MAX_PIECES_FRAME_BYTES),
        writeTo(stream, { signal })
      )
    } finally {
      clearTimeout(asking)
      if (!busy) this.leave(peer)
    }
  }

  private async *answer(
    requests: AsyncIterable<Uint8Array>,
    { busy, onRequest }: { busy: boolean; onRequest: () => void }
  ): AsyncGenerator<Uint8Array> {
    let answered = false
    for await (const frame of requests) {
      onRequest()
      if (answered) throw new ProtocolError('MALFORMED', 'a second request for pieces came on a stream')
      answered = true
      const request = decodePiecesRequest(frame)
      if (busy) yield* this.refuse(request)
      else yield* this.pieces(request)
    }
  }

  private *refuse({ hashes }: PiecesRequest): Generator<Uint8Array> {
    this.counters.refused += 1
    for (const hash of hashes) yield encodePiece({ hash, code: 'BUSY', data: new Uint8Array(0) })
  }

  private async *pieces({ manifest, hashes }: PiecesRequest): AsyncGenerator<Uint8Array> {
    for (const hash of hashes) {
      const data = await this.store.readPiece(manifest, hash)
      if (data === undefined) {
        yield encodePiece({ hash, code: 'UNKNOWN_MODEL', data: new Uint8Array(0) })
        continue
      }
      yield encodePiece({ hash, code: 'OK', data })
      this.counters.pieces += 1
      this.counters.bytes += data.length
    }
  }

  private enter(peer: string): boolean {
    const ofPeer = this.active.get(peer) ?? 0
    if (this.total >= this.settings.maxStreams || ofPeer >= this.settings.maxStreamsOfPeer) return false
    this.active.set(peer, ofPeer + 1)
    this.total += 1
    return true
  }

  private leave(peer: string): void {
    const ofPeer = (this.active.get(peer) ?? 1) - 1
    if (ofPeer > 0) this.active.set(peer, ofPeer)
    else this.active.delete(peer)
    this.total -= 1
  }
}
