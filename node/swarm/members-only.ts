import type { Connection, Stream } from '@libp2p/interface'
import { asError } from '../../protocol/errors.js'
import { deadline } from '../deadline.js'
import { SwarmError } from './errors.js'
import { HELLO_WAIT_MILLISECONDS, type Gate } from './gate.js'
import type { LogSink } from './libp2p-logger.js'
import type { StreamHandler } from './wire.js'

export type MemberHandler = (stream: Stream, connection: Connection) => void | Promise<void>

interface MembersOnlyParts {
  gate: Gate
  logger: LogSink
}

/** Hands over the streams of members and resets those of others. What the handler throws resets its stream. */
export function membersOnly({ gate, logger }: MembersOnlyParts, handler: MemberHandler): StreamHandler {
  return async (stream, connection) => {
    const peer = connection.remotePeer.toString()
    try {
      if (!gate.isMember(peer)) await waitForHello(gate, stream, peer)
      await handler(stream, connection)
    } catch (caught) {
      const error = asError(caught)
      logger.debug({ peer, protocol: stream.protocol, err: error }, 'a stream failed')
      stream.abort(error)
    }
  }
}

/** The hello may be on its way on another stream; nothing is read meanwhile. */
async function waitForHello(gate: Gate, stream: Stream, peer: string): Promise<void> {
  using limit = deadline(`the hello of ${peer}`, HELLO_WAIT_MILLISECONDS)
  stream.pause()
  try {
    await gate.member(peer, limit.signal)
  } catch (cause) {
    throw new SwarmError('UNAUTHORIZED', `${peer} opened a stream and has not said hello`, { details: { peer }, cause })
  }
  if (stream.readStatus === 'paused') stream.resume()
}
