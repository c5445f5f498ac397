import { frames } from '../../node/swarm/wire.js'
import type { SwarmNode } from '../../node/swarm/swarm.js'

/** Bytes of a frame that a test looks at. */
const MAX_FRAME_BYTES = 32 * 1024 * 1024

export interface Line {
  peer: string
  protocol: string
}

/** What came back on a stream until the other side ended it. */
export interface Replies {
  frames: Uint8Array[]
  /** Ended with a reset. */
  reset: boolean
}

/** An open stream of frames that are sent as they are, good or bad. */
export interface Conversation {
  /** With its length in front. */
  send(frame: Uint8Array): void
  /** Without. */
  sendRaw(bytes: Uint8Array): void
  /** The next frame. @throws Error when the stream ends first */
  reply(): Promise<Uint8Array>
  /** Everything that was not read with `reply`, once the other side has ended the stream. */
  end(): Promise<Replies>
  /** Resets the stream. */
  abort(): void
}

export async function talk(swarm: SwarmNode, { peer, protocol }: Line): Promise<Conversation> {
  const stream = await swarm.openStream(peer, protocol)
  const received: Uint8Array[] = []
  let wake = Promise.withResolvers<undefined>()
  let over = false
  const news = (): void => {
    wake.resolve(undefined)
    wake = Promise.withResolvers()
  }
  const channel = frames(stream, {
    maxFrameBytes: MAX_FRAME_BYTES,
    onFrame: frame => {
      received.push(frame.slice())
      news()
    },
    onEnd: () => void channel.close().catch(() => undefined),
    onClose: () => {
      over = true
      news()
    }
  })
  return {
    send: frame => void channel.send(frame),
    sendRaw: bytes => void stream.send(bytes),
    reply: async () => {
      for (;;) {
        const frame = received.shift()
        if (frame !== undefined) return frame
        if (over) throw new Error(`the stream for ${protocol} ended before a reply`)
        await wake.promise
      }
    },
    end: async () => {
      const error = await channel.closed
      return { frames: received.splice(0), reset: error !== undefined }
    },
    abort: () => channel.abort(new Error('the test is done with it'))
  }
}
