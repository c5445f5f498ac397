import { SwarmError } from '../swarm/errors.js'
import type { FrameStream } from '../swarm/wire.js'
import { MAX_UNSENT_BYTES } from './constants.js'

/** Fewer bytes that wait are just on their way: other streams need not be looked at. */
const UNSENT_IN_PASSING = 1024 * 1024

/**
 * Sends a frame of a session. Steps under way bound what an honest reader lets wait; one that lets more than
 * `MAX_UNSENT_BYTES` wait loses its stream, and whoever owns the stream hears of it as of any other loss.
 * @param tooMuchElsewhere - asked where much waits: do all streams of the peer together let too much wait?
 */
export function sendBounded(channel: FrameStream, bytes: Uint8Array, tooMuchElsewhere = (): boolean => false): void {
  channel.send(bytes)
  const unsent = channel.stream.writeBufferLength
  if (unsent <= MAX_UNSENT_BYTES && (unsent <= UNSENT_IN_PASSING || !tooMuchElsewhere())) return
  channel.abort(new SwarmError('READER_TOO_SLOW', `the other side lets ${unsent} bytes wait`, { details: { unsent } }))
}
