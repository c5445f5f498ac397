/** The stage and relay protocols' serving side: frames in, frames out, every fault told before the stream ends. */
import type { Connection, Stream } from '@libp2p/interface'
import { MAX_RELAY_FRAME_BYTES, MAX_STAGE_FRAME_BYTES } from '../../protocol/limits.js'
import { ProtocolError } from '../../protocol/protocol-error.js'
import {
  decodeRelayRequest,
  decodeStageRequest,
  encodeRelayReply,
  encodeStageReply,
  endsSession,
  type RelayRequest,
  type StageReply
} from '../../protocol/stage.js'
import { ServedStream } from './served-stream.js'
import type { StageHost } from './stage-host.js'
import type { StageSession } from './stage-session.js'

/** Handler of the stage protocol: one session of the origin at the other end. */
export function serveStage(host: StageHost): (stream: Stream, connection: Connection) => Promise<void> {
  return async (stream, connection) => {
    const reply = (message: StageReply): void => {
      served.send(encodeStageReply(message))
      if (message.type === 'fault' && endsSession(message.fault)) served.finish()
    }
    const port = host.connect(connection.remotePeer.toString(), reply)
    const served = new ServedStream(stream, {
      maxFrameBytes: MAX_STAGE_FRAME_BYTES,
      receive: frame => {
        const request = decodeStageRequest(frame)
        port.receive(request)
        if (request.type === 'close') served.finish()
      },
      encodeFault: fault => encodeStageReply({ type: 'fault', fault }),
      onRefused: ({ code }) => host.count(code),
      onOver: () => port.close()
    })
    await served.closed
  }
}

/** Handler of the relay protocol: hidden states from the stage before. */
export function serveRelay(host: StageHost): (stream: Stream) => Promise<void> {
  return async stream => {
    let session: StageSession | undefined
    const feeder = {
      replayed: (sequence: number) => served.send(encodeRelayReply({ type: 'replayed', sequence })),
      close: () => served.finish()
    }
    const receive = (request: RelayRequest): void => {
      if (request.type === 'step') {
        if (session === undefined) throw new ProtocolError('UNAUTHORIZED', 'a step before the session was named')
        session.receive(request.step, feeder)
        return
      }
      if (session !== undefined) throw new ProtocolError('MALFORMED', 'a second open on one stream')
      session = host.admit(request.session, request.secret)
      session.admit(feeder)
      served.send(encodeRelayReply({ type: 'linked' }))
    }
    const served = new ServedStream(stream, {
      maxFrameBytes: MAX_RELAY_FRAME_BYTES,
      receive: frame => receive(decodeRelayRequest(frame)),
      encodeFault: fault => encodeRelayReply({ type: 'fault', fault }),
      // A session that it feeds is over with it, and counts the fault itself.
      onRefused: fault => (session === undefined ? host.count(fault.code) : session.fail(fault)),
      onOver: () => undefined
    })
    await served.closed
  }
}
