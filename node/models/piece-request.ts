import type { Stream } from '@libp2p/interface'
import { pipe } from 'it-pipe'
import { MAX_MANIFEST_BYTES, MAX_PIECES_REQUEST_BYTES } from '../../protocol/limits.js'
import { decodePiece, encodePiecesRequest, type Piece } from '../../protocol/pieces.js'
import { ProtocolError } from '../../protocol/protocol-error.js'
import { abortable, deadline } from '../deadline.js'
import { reasonOf } from '../swarm/stream-reasons.js'
import { decoder, encoder, readFrom, writeTo } from '../swarm/wire.js'
import { ModelError } from './errors.js'
import { sha256 } from './hash.js'
import { Pace, type PaceSettings } from './pace.js'
import type { WantedPiece } from './piece-queue.js'

/** Opens a `/flambeau/pieces/1.0.0` stream to a peer. */
export type OpenPieceStream = (peer: string, options: { signal: AbortSignal }) => Promise<Stream>

/** Bytes of a piece's frame besides its data. */
const FRAME_OVERHEAD_BYTES = 1024

/** The peer sent something else than the piece that was asked for. */
export class BadPieceError extends ModelError {
  override name = 'BadPieceError'
  readonly hash: string

  constructor(hash: string, what: string) {
    super('BAD_PIECE', `${what} instead of piece ${hash}`, { details: { hash } })
    this.hash = hash
  }
}

export interface PieceRequest<P extends WantedPiece> {
  /** Manifest hash, hex. */
  manifest: string
  peer: string
  pieces: readonly P[]
  openStream: OpenPieceStream
  /** Milliseconds until the stream is open. */
  openMilliseconds: number
  pace: PaceSettings
  signal: AbortSignal
}

/** What came of one piece: its checked bytes, or the peer's word that it does not have it. */
export interface PieceOutcome<P extends WantedPiece> {
  piece: P
  data: Uint8Array | undefined
}

/**
 * Asks one peer for some pieces and yields them as they come, each checked.
 * @throws BadPieceError for wrong bytes; ModelError PEER_BUSY; whatever the stream died of or a deadline.
 */
export async function* requestPieces<P extends WantedPiece>(request: PieceRequest<P>): AsyncGenerator<PieceOutcome<P>> {
  const { pieces, signal } = request
  const stream = await open(request)
  const pace = new Pace(request.pace)
  const replies = ask(stream, request, pace)
  let complete = false
  try {
    for (const piece of pieces) {
      signal.throwIfAborted()
      pace.restart()
      const reply = await next(replies, piece)
      if (reply.done === true) throw new ModelError('PIECES_MISSING', 'the peer ended the stream before the last piece')
      yield { piece, data: checked(piece, reply.value) }
    }
    complete = (await replies.next()).done === true
  } finally {
    // What is still awaited ends with the stream.
    if (!complete) stream.abort(new ModelError('PIECES_MISSING', 'no more pieces are wanted on this stream'))
    await replies.return(undefined)
  }
}

/** @throws BadPieceError for a frame that is larger than the piece */
async function next(
  replies: AsyncGenerator<Uint8Array>,
  { hash }: WantedPiece
): Promise<IteratorResult<Uint8Array, unknown>> {
  try {
    return await replies.next()
  } catch (error) {
    if (reasonOf(error) === 'TOO_LARGE') throw new BadPieceError(hash, 'a larger frame came')
    throw error
  }
}

/** Sends the request; the frames that come back. */
function ask<P extends WantedPiece>(
  stream: Stream,
  { manifest, pieces, signal }: PieceRequest<P>,
  pace: Pace
): AsyncGenerator<Uint8Array> {
  const largest = Math.max(...pieces.map(({ size }) => size ?? MAX_MANIFEST_BYTES))
  const encoded = encodePiecesRequest({ manifest, hashes: pieces.map(({ hash }) => hash) })
  const sending = pipe([encoded], encoder(MAX_PIECES_REQUEST_BYTES), writeTo(stream, { signal }))
  // Its failure aborts the stream, which the reader below reports.
  sending.catch(() => undefined)
  const watched = pace.watch(readFrom(stream, { signal }), signal)
  return pipe(watched, decoder(largest + FRAME_OVERHEAD_BYTES))
}

async function open<P extends WantedPiece>(request: PieceRequest<P>): Promise<Stream> {
  const { peer, openStream, openMilliseconds, signal } = request
  using limit = deadline('opening a stream', openMilliseconds, signal)
  const opening = openStream(peer, { signal: limit.signal })
  try {
    return await abortable(opening, limit.signal)
  } catch (error) {
    // A stream that opens too late is nobody's.
    opening.then(
      stream => stream.abort(new ModelError('PIECES_MISSING', 'the stream opened too late')),
      () => undefined
    )
    throw error
  }
}

/** The piece's bytes; undefined when the peer says that it does not have them. */
function checked({ hash, size }: WantedPiece, frame: Uint8Array): Uint8Array | undefined {
  const { code, data } = reply(hash, frame)
  if (code === 'UNKNOWN_MODEL') return undefined
  if (code === 'BUSY') throw new ModelError('PEER_BUSY', 'the peer is busy')
  if (code !== 'OK') throw new ModelError('PIECES_MISSING', `the peer answers ${code}`, { details: { code } })
  if (size !== undefined && data.length !== size) throw new BadPieceError(hash, `${data.length} bytes came`)
  if (sha256(data) !== hash) throw new BadPieceError(hash, 'other bytes came')
  return data
}

function reply(hash: string, frame: Uint8Array): Piece {
  try {
    const piece = decodePiece(frame)
    if (piece.hash !== hash) throw new BadPieceError(hash, `piece ${piece.hash} came`)
    return piece
  } catch (error) {
    if (error instanceof ProtocolError) throw new BadPieceError(hash, 'a malformed frame came')
    throw error
  }
}
