import { Uint8ArrayList } from 'uint8arraylist'

/** Version, type, flags (16 bits), stream (32), length (32), big endian: https://github.com/hashicorp/yamux/blob/master/spec.md */
const HEADER_BYTES = 12
const WINDOW_UPDATE = 1
/**
 * Window held back on a connection, bytes: a quarter of the smallest window (256 KiB), so that a sender never comes to the
 * end of its window while the receiver believes that there is some left.
 */
export const MAX_HELD_WINDOW_BYTES = 64 * 1024

/**
 * @libp2p/yamux answers every data frame with a window update: a packet, and a wake-up of the other side, in the middle of
 * its computing. Here they wait for the next frame that goes the same way, or until enough of them have come together.
 */
export class WindowUpdates {
  /** Bytes by stream. */
  readonly #held = new Map<number, number>()
  #heldBytes = 0

  /** What is to be sent instead of this frame of the muxer; undefined: nothing yet. */
  pass(frame: Uint8Array | Uint8ArrayList): Uint8Array | Uint8ArrayList | undefined {
    if (!isPlainUpdate(frame)) return this.#held.size === 0 ? frame : new Uint8ArrayList(...this.#take(), frame)
    const header = new DataView(frame.buffer, frame.byteOffset)
    const [stream, bytes] = [header.getUint32(4), header.getUint32(8)]
    this.#held.set(stream, (this.#held.get(stream) ?? 0) + bytes)
    this.#heldBytes += bytes
    return this.#heldBytes < MAX_HELD_WINDOW_BYTES ? undefined : new Uint8ArrayList(...this.#take())
  }

  #take(): Uint8Array[] {
    const updates = [...this.#held].map(([stream, bytes]) => windowUpdate(stream, bytes))
    this.#held.clear()
    this.#heldBytes = 0
    return updates
  }
}

/** Updates with flags open, acknowledge or end a stream: those do not wait. */
function isPlainUpdate(frame: Uint8Array | Uint8ArrayList): frame is Uint8Array {
  if (!(frame instanceof Uint8Array) || frame.byteLength !== HEADER_BYTES) return false
  return frame[1] === WINDOW_UPDATE && frame[2] === 0 && frame[3] === 0
}

function windowUpdate(stream: number, bytes: number): Uint8Array {
  const frame = new Uint8Array(HEADER_BYTES)
  const header = new DataView(frame.buffer)
  frame[1] = WINDOW_UPDATE
  header.setUint32(4, stream)
  header.setUint32(8, bytes)
  return frame
}
