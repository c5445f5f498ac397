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
  type Fault,
  type RelayRequest,
  type StageReply
} from '../../protocol/stage.js'
import { ServedStream, type ServedStreamOptions } from './served-stream.js'
import type { StageHost } from './stage-host.js'
import type { StageSession } from './stage-session.js'

/** Times for tests, by default those of `FrameStream`, and where bytes are counted. */
export type StreamTimes = Pick<ServedStreamOptions, 'frameMilliseconds' | 'traffic'>

type Handler = (stream: Stream, connection: Connection) => Promise<void>

const TOO_MANY: Fault = { code: 'BUSY', message: 'you open too many streams here' }

/** Handler of the stage protocol: one session of the origin at the other end. */
export function serveStage(host: StageHost, times: StreamTimes = {}): Handler {
  return async (stream, connection) => {
    const peer = connection.remotePeer.toString()
    const { trust } = host
    using place = trust.enter(peer, 'stage')
    using _watched = trust.unsent.watch(peer, stream)
    const reply = (message: StageReply): void => {
      served.send(encodeStageReply(message))
      if (message.type === 'fault' && endsSession(message.fault)) served.finish()
    }
    const port = host.connect(peer, reply)
    const served = new ServedStream(stream, {
      ...times,
      maxFrameBytes: MAX_STAGE_FRAME_BYTES,
      letsTooMuchWait: () => trust.unsent.tooMany(peer),
      receive: frame => {
        const request = decodeStageRequest(frame)
        port.receive(request)
        if (request.type === 'close') served.finish()
      },
      encodeFault: fault => encodeStageReply({ type: 'fault', fault }),
      onRefused: (_fault, reason) => host.count(reason, peer),
      onOver: () => port.close()
    })
    if (place === undefined) reply({ type: 'fault', fault: TOO_MANY })
    await served.closed
  }
}

/** Handler of the relay protocol: hidden states from the stage before. */
export function serveRelay(host: StageHost, times: StreamTimes = {}): Handler {
  return async (stream, connection) => {
    const peer = connection.remotePeer.toString()
    using place = host.trust.enter(peer, 'relay')
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
      session = host.admit(request.session, request.secret, peer)
      session.admit(feeder)
      served.send(encodeRelayReply({ type: 'linked' }))
    }
    const served = new ServedStream(stream, {
      ...times,
      maxFrameBytes: MAX_RELAY_FRAME_BYTES,
      receive: frame => receive(decodeRelayRequest(frame)),
      encodeFault: fault => encodeRelayReply({ type: 'fault', fault }),
      onRefused: (fault, reason) => {
        if (session === undefined) {
          host.count(reason, reason === 'UNAUTHORIZED' ? host.guesser(peer) : peer)
          return
        }
        // A session that it feeds is over with it, and counts the fault itself.
        session.fail(fault)
        host.trust.blame(reason, peer)
      },
      onOver: () => undefined
    })
    if (place === undefined) {
      served.send(encodeRelayReply({ type: 'fault', fault: TOO_MANY }))
      served.finish()
    }
    await served.closed
  }
}
