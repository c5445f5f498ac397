import { CodedError } from '../../protocol/errors.js'

export type ModelErrorCode =
  /** The file does not start as a GGUF file. */
  | 'NOT_GGUF'
  /** A GGUF version that nobody writes any more, or big endian. */
  | 'UNSUPPORTED_VERSION'
  /** The file ends before what its header promises. */
  | 'TRUNCATED'
  /** A count or length above every sensible bound. */
  | 'ABSURD_SIZE'
  /** Bytes that contradict the format: duplicate names, bad alignment, invalid text. */
  | 'MALFORMED'
  /** A metadata or tensor type that llama.cpp does not read. */
  | 'UNSUPPORTED_TYPE'
  /** Metadata that a model needs is missing or has another type. */
  | 'BAD_METADATA'
  /** One part of a model that was split into several files. */
  | 'SPLIT_FILE'
  /** A layer range outside the model. */
  | 'BAD_RANGE'
  /** A manifest that does not decode, contradicts its header or has another hash than its name. */
  | 'BAD_MANIFEST'
  /** No such model in the store. */
  | 'UNKNOWN_MODEL'
  /** The model is known, but not the bytes that are needed. */
  | 'NOT_HELD'
  /** The shared file is gone or is not what it was when it was shared. */
  | 'SOURCE_CHANGED'
  /** What is to be written does not fit on the disk, with a reserve left free. */
  | 'DISK_FULL'
  /** A peer sent something else than the piece that was asked for. */
  | 'BAD_PIECE'
  /** A peer has no room for another request now. */
  | 'PEER_BUSY'
  /** A peer failed at a request, or the stream ended before all pieces were there. */
  | 'PIECES_MISSING'
  /** The same range is being fetched by another call. */
  | 'ALREADY_FETCHING'
  /** Nobody who is left holds the pieces that are missing. */
  | 'PIECES_UNAVAILABLE'

/** What is wrong with a model's file, manifest or pieces, in one line. */
export class ModelError extends CodedError<ModelErrorCode> {
  override name = 'ModelError'
}
