import { STAGE_PROTOCOL } from '../../protocol/ids.js'
import { MAX_STAGE_FRAME_BYTES } from '../../protocol/limits.js'
import { decodeStageReply, encodeStageRequest, type StageReply, type StageRequest } from '../../protocol/stage.js'
import { frames, type Traffic } from '../swarm/wire.js'
import type { Swarm } from '../swarm/types.js'
import type { StageHost } from './stage-host.js'

/** The origin's end of one stage. */
export interface StageChannel {
  /** @throws what the stream died of */
  send(request: StageRequest): void
  /** The stage frees everything that it holds for the session. */
  close(): void
}

export interface StageChannelHandlers {
  onReply: (reply: StageReply) => void
  /** Called once, when the stage is gone although nobody closed the channel here. */
  onLost: (error: Error) => void
}

/** A stage on this very node: called directly, without a socket. */
export function localStage(host: StageHost, peer: string, { onReply }: StageChannelHandlers): StageChannel {
  const port = host.connect(peer, onReply)
  return { send: request => port.receive(request), close: () => port.close() }
}

export interface RemoteStage {
  peer: string
  /** Multiaddrs, hints next to what the swarm knows. */
  addresses: string[]
}

/** A stage on another node, over a stage stream. */
export async function remoteStage(
  { swarm, traffic }: { swarm: Pick<Swarm, 'openStream'>; traffic?: Traffic | undefined },
  { peer, addresses }: RemoteStage,
  { onReply, onLost }: StageChannelHandlers,
  { signal }: { signal: AbortSignal }
): Promise<StageChannel> {
  const stream = await swarm.openStream(peer, STAGE_PROTOCOL, { addresses, signal })
  let closing = false
  const lose = (error: Error): void => {
    if (closing) return
    closing = true
    onLost(error)
  }
  const channel = frames(stream, {
    maxFrameBytes: MAX_STAGE_FRAME_BYTES,
    traffic,
    onFrame: frame => onReply(decodeStageReply(frame)),
    onEnd: () => {
      // No answer will come any more. A reset ends it too, and says more.
      if (stream.status === 'open') lose(new Error('it ended the stream'))
    },
    onClose: error => lose(error ?? new Error('it closed the stream'))
  })
  return {
    send: request => void channel.send(encodeStageRequest(request)),
    close: () => {
      closing = true
      channel.abort(new Error('the session is over'))
    }
  }
}
