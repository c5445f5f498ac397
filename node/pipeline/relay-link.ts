import { RELAY_PROTOCOL } from '../../protocol/ids.js'
import { MAX_RELAY_FRAME_BYTES } from '../../protocol/limits.js'
import { ProtocolError } from '../../protocol/protocol-error.js'
import { decodeRelayReply, encodeRelayRequest, type NextStage } from '../../protocol/stage.js'
import type { Step } from '../../protocol/step.js'
import { abortable, deadline } from '../deadline.js'
import { leadsOutside } from '../swarm/addresses.js'
import { frames, type FrameStream, type Traffic } from '../swarm/wire.js'
import type { Swarm } from '../swarm/types.js'
import { sendBounded } from './bounded-send.js'
import { LINK_MS } from './constants.js'

/** Where a stage sends its hidden states. */
export interface HiddenStateSink {
  send(step: Step): void
  close(): void
}

export interface RelayHandlers {
  /** Called once when the stream ends although nobody closed it here. */
  onLost: (error: Error) => void
  /** The next stage has run a replayed step. */
  onReplayed: () => void
}

/**
 * Opens a relay stream to the next stage and waits until it admits us. What the origin says of its addresses counts only
 * where it does not lead into this node's own network; the rest is in the next stage's own record.
 * @throws ProtocolError - the next stage's own status; whatever dialling throws
 */
export async function openRelay(
  { swarm, traffic }: { swarm: Pick<Swarm, 'openStream'>; traffic?: Traffic | undefined },
  target: NextStage,
  { onLost, onReplayed }: RelayHandlers
): Promise<HiddenStateSink> {
  using limit = deadline('linking to the next stage', LINK_MS)
  const { peer, session, secret } = target
  const addresses = target.addresses.filter(leadsOutside)
  const stream = await swarm.openStream(peer, RELAY_PROTOCOL, { addresses, signal: limit.signal })
  const admitted = Promise.withResolvers<undefined>()
  let linked = false
  const relay: FrameStream = frames(stream, {
    maxFrameBytes: MAX_RELAY_FRAME_BYTES,
    traffic,
    onFrame: frame => {
      const reply = decodeRelayReply(frame)
      if (reply.type === 'replayed') {
        onReplayed()
        return
      }
      if (reply.type === 'linked') {
        linked = true
        admitted.resolve(undefined)
        return
      }
      const fault = new ProtocolError(reply.fault.code, reply.fault.message)
      admitted.reject(fault)
      relay.abort(fault)
    },
    onEnd: () => {
      // A reset ends it too, and says more.
      if (stream.status === 'open') admitted.reject(new Error('the next stage ended the relay stream'))
    },
    onClose: error => {
      const lost = error ?? new Error('the next stage closed the relay stream')
      admitted.reject(lost)
      if (linked) onLost(lost)
      linked = false
    }
  })
  admitted.promise.catch(() => undefined) // the abort below may come first
  try {
    relay.send(encodeRelayRequest({ type: 'open', session, secret }))
    await abortable(admitted.promise, limit.signal)
  } catch (error) {
    linked = false
    relay.abort(new Error('not admitted'))
    throw error
  }
  return {
    send: step => sendBounded(relay, encodeRelayRequest({ type: 'step', step })),
    close: () => {
      linked = false
      relay.abort(new Error('the session is over'))
    }
  }
}
