import type { Connection, Stream } from '@libp2p/interface'
import { asError } from '../../protocol/errors.js'
import { deadline } from '../deadline.js'
import type { Service } from '../trust/constants.js'
import type { Trust } from '../trust/trust.js'
import { SwarmError } from './errors.js'
import { HELLO_WAIT_MILLISECONDS, type Gate } from './gate.js'
import type { LogSink } from './libp2p-logger.js'
import { reasonOf } from './stream-reasons.js'
import type { StreamHandler } from './wire.js'

export type MemberHandler = (stream: Stream, connection: Connection) => void | Promise<void>

interface LimitedParts {
  trust: Pick<Trust, 'enter' | 'refuse'>
  logger: LogSink
}

interface MembersOnlyParts extends LimitedParts {
  gate: Gate
}

/**
 * Hands over the streams of peers within the limits of `service`, and resets those above; without one the handler keeps
 * the limits itself. What the handler throws resets its stream, and counts where the other side caused it.
 */
export function limited({ trust, logger }: LimitedParts, handler: MemberHandler, service?: Service): StreamHandler {
  return async (stream, connection) => {
    const peer = connection.remotePeer.toString()
    using place = service === undefined ? undefined : trust.enter(peer, service)
    try {
      if (service !== undefined && place === undefined) throw tooMany(peer, service)
      await handler(stream, connection)
    } catch (caught) {
      const error = asError(caught)
      const reason = reasonOf(error)
      // Whose hello is late has done nothing wrong.
      if (reason !== undefined) trust.refuse(reason, reason === 'UNAUTHORIZED' ? undefined : peer)
      logger.debug({ peer, protocol: stream.protocol, err: error }, 'a stream failed')
      stream.abort(error)
    }
  }
}

/** The same for members only: streams of others are reset. */
export function membersOnly(
  { gate, ...parts }: MembersOnlyParts,
  handler: MemberHandler,
  service?: Service
): StreamHandler {
  const ofMember: MemberHandler = async (stream, connection) => {
    const peer = connection.remotePeer.toString()
    if (!gate.isMember(peer)) await waitForHello(gate, stream, peer)
    await handler(stream, connection)
  }
  return limited(parts, ofMember, service)
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

function tooMany(peer: string, service: Service): SwarmError {
  return new SwarmError('TOO_MANY', `${peer} opens too many ${service} streams`, { details: { peer, service } })
}
