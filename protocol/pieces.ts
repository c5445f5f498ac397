import { bytesOf, hexOf, integer, malformed, tooLarge } from './checks.js'
import { decodeMessage, finishMessage } from './codec.js'
import { flambeau } from './generated/messages.js'
import {
  MAX_MANIFEST_BYTES,
  MAX_PIECES_FRAME_BYTES,
  MAX_PIECES_PER_REQUEST,
  MAX_PIECES_REQUEST_BYTES
} from './limits.js'
import { statusName, type StatusName } from './status.js'

export interface PiecesRequest {
  /** Manifest hash, hex. */
  manifest: string
  /** Of the pieces, hex; the manifest itself goes under its own hash. */
  hashes: string[]
}

/** One answer, in the order of the request. */
export interface Piece {
  hash: string
  code: StatusName
  /** Empty unless the code is OK; then to be checked against `hash`. A view of the frame after decoding. */
  data: Uint8Array
}

const REQUEST = { bytes: MAX_PIECES_REQUEST_BYTES }
const PIECE = { bytes: MAX_PIECES_FRAME_BYTES }

/** @throws ProtocolError - when a value is outside the limits */
export function encodePiecesRequest({ manifest, hashes }: PiecesRequest): Uint8Array {
  checkCount(hashes.length)
  const writer = flambeau.PiecesRequest.encode({
    manifest: bytesOf('manifest', manifest),
    hashes: hashes.map(hash => bytesOf('piece hash', hash))
  })
  return finishMessage('pieces request', writer, MAX_PIECES_REQUEST_BYTES)
}

/** @throws ProtocolError */
export function decodePiecesRequest(bytes: Uint8Array): PiecesRequest {
  const { manifest, hashes } = decodeMessage('pieces request', bytes, REQUEST, reader =>
    flambeau.PiecesRequest.decode(reader)
  )
  checkCount(hashes.length)
  return { manifest: hexOf('manifest', manifest), hashes: hashes.map(hash => hexOf('piece hash', hash)) }
}

/** @throws ProtocolError - when a value is outside the limits */
export function encodePiece({ hash, code, data }: Piece): Uint8Array {
  checkData(code, data)
  const message = { hash: bytesOf('piece hash', hash), code: flambeau.StatusCode[code], data }
  return finishMessage('piece', flambeau.Piece.encode(message), MAX_PIECES_FRAME_BYTES)
}

/** @throws ProtocolError */
export function decodePiece(bytes: Uint8Array): Piece {
  const { hash, code, data } = decodeMessage('piece', bytes, PIECE, reader => flambeau.Piece.decode(reader))
  const name = statusName(code)
  checkData(name, data)
  return { hash: hexOf('piece hash', hash), code: name, data }
}

function checkCount(hashes: number): void {
  integer('hashes asked for', hashes, { min: 1, max: MAX_PIECES_PER_REQUEST })
}

function checkData(code: StatusName, data: Uint8Array): void {
  if ((code === 'OK') !== data.length > 0) throw malformed(`a piece with status ${code} and ${data.length} bytes`)
  if (data.length > MAX_MANIFEST_BYTES) throw tooLarge(`a piece of ${data.length} bytes`)
}
