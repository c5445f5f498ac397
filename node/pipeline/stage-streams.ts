/** The stage and relay protocols' serving side: frames in, frames out, every fault told before the stream ends. */
import type { Connection, Stream } from '@libp2p/interface'
import { asError } from '../../protocol/errors.js'
import { MAX_RELAY_FRAME_BYTES, MAX_STAGE_FRAME_BYTES } from '../../protocol/limits.js'
import { ProtocolError } from '../../protocol/protocol-error.js'
import {
  decodeRelayRequest,
  decodeStageRequest,
  encodeRelayReply,
  encodeStageReply,
  type StageReply
} from '../../protocol/stage.js'
import { abortable, deadline } from '../deadline.js'
import { frames, type FrameStream } from '../swarm/wire.js'
import { SwarmError } from '../swarm/errors.js'
import { CLOSE_MS, FIRST_FRAME_MS } from './constants.js'
import type { StageHost } from './stage-host.js'
import type { StageSession } from './stage-session.js'

/** Handler of the stage protocol: one session of the origin at the other end. */
export function serveStage(host: StageHost): (stream: Stream, connection: Connection) => Promise<void> {
  return async (stream, connection) => {
    const reply = (message: StageReply): void => {
      sendIfOpen(channel, encodeStageReply(message))
      if (message.type === 'fault' && message.fault.code !== 'UNREACHABLE') void closeSoon(channel)
    }
    const port = host.connect(connection.remotePeer.toString(), reply)
    const refuse = (fault: ProtocolError): void => {
      host.count(fault.code)
      reply({ type: 'fault', fault: { code: fault.code, message: fault.message } })
      port.close()
    }
    const first = firstFrameTimer(refuse)
    const channel: FrameStream = frames(stream, {
      maxFrameBytes: MAX_STAGE_FRAME_BYTES,
      onFrame: frame => {
        first.clear()
        guarded(() => port.receive(decodeStageRequest(frame)), refuse)
      },
      onEnd: () => port.close(),
      onClose: error => {
        first.clear()
        countBadFrame(host, error)
        port.close()
      }
    })
    await channel.closed
  }
}

/** Handler of the relay protocol: hidden states from the stage before. */
export function serveRelay(host: StageHost): (stream: Stream) => Promise<void> {
  return async stream => {
    let session: StageSession | undefined
    const refuse = (fault: ProtocolError): void => {
      host.count(fault.code)
      sendIfOpen(channel, encodeRelayReply({ type: 'fault', fault: { code: fault.code, message: fault.message } }))
      session?.fail(fault)
      void closeSoon(channel)
    }
    const first = firstFrameTimer(refuse)
    const channel: FrameStream = frames(stream, {
      maxFrameBytes: MAX_RELAY_FRAME_BYTES,
      onFrame: frame => {
        first.clear()
        guarded(() => {
          const request = decodeRelayRequest(frame)
          if (request.type === 'step') {
            if (session === undefined) throw new ProtocolError('UNAUTHORIZED', 'a step before the session was named')
            session.receive(request.step)
          } else {
            session = host.admit(request.session, request.secret)
            sendIfOpen(channel, encodeRelayReply({ type: 'linked' }))
          }
        }, refuse)
      },
      onEnd: () => void closeSoon(channel),
      onClose: error => {
        first.clear()
        countBadFrame(host, error)
      }
    })
    await channel.closed
  }
}

function firstFrameTimer(refuse: (fault: ProtocolError) => void): { clear: () => void } {
  const timer = setTimeout(
    () => refuse(new ProtocolError('TIMEOUT', `nothing came within ${FIRST_FRAME_MS} ms`)),
    FIRST_FRAME_MS
  )
  return { clear: () => clearTimeout(timer) }
}

function guarded(run: () => void, refuse: (fault: ProtocolError) => void): void {
  try {
    run()
  } catch (error) {
    refuse(
      error instanceof ProtocolError ? error : new ProtocolError('INTERNAL', asError(error).message, { cause: error })
    )
  }
}

/** An oversized frame ends the stream below this layer; it counts here. */
function countBadFrame(host: StageHost, error: Error | undefined): void {
  if (!(error instanceof SwarmError)) return
  if (error.code === 'FRAME_TOO_LARGE') host.count('TOO_LARGE')
  if (error.code === 'FRAME_INVALID' || error.code === 'FRAME_TRUNCATED') host.count('MALFORMED')
}

/** The other side may be gone already; then there is nobody left to tell. */
function sendIfOpen(channel: FrameStream, bytes: Uint8Array): void {
  if (channel.stream.writeStatus === 'writable') channel.send(bytes)
}

/** Sends what is still to be sent, then waits a little for the other side to close too. */
async function closeSoon(channel: FrameStream): Promise<void> {
  using limit = deadline('closing a stream', CLOSE_MS)
  try {
    await channel.close({ signal: limit.signal })
    await abortable(channel.closed, limit.signal)
  } catch (error) {
    channel.abort(asError(error))
  }
}
