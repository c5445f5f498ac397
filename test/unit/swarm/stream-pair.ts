import type { Stream, StreamMuxer } from '@libp2p/interface'
import { multiaddrConnectionPair } from '@libp2p/utils'
import { muxers } from '../../../node/swarm/transport.js'

/** Two ends of one Yamux stream over an in-memory connection, with the windows of the real node. */
export async function yamuxPair(): Promise<[Stream, Stream]> {
  const [outbound, inbound] = multiaddrConnectionPair({ delay: 0 })
  const local = muxer().createStreamMuxer(outbound)
  const remote: StreamMuxer = muxer().createStreamMuxer(inbound)
  const accepted = new Promise<Stream>(resolve => {
    remote.addEventListener('stream', event => resolve(event.detail))
  })
  const [near, far] = await Promise.all([local.createStream(), accepted])
  return [near, far]
}

function muxer() {
  const [factory] = muxers()
  if (factory === undefined) throw new Error('no muxer')
  return factory()
}
