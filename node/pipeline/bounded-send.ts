import type { FrameStream } from '../swarm/wire.js'
import { MAX_UNSENT_BYTES } from './constants.js'

/**
 * Sends a frame of a session. Steps under way bound what an honest reader lets wait; one that lets more than
 * `MAX_UNSENT_BYTES` wait loses its stream, and whoever owns the stream hears of it as of any other loss.
 */
export function sendBounded(channel: FrameStream, bytes: Uint8Array): void {
  channel.send(bytes)
  const unsent = channel.stream.writeBufferLength
  if (unsent > MAX_UNSENT_BYTES) channel.abort(new Error(`the other side lets ${unsent} bytes wait`))
}
