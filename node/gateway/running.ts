import type { FastifyReply } from 'fastify'
import { CodedError } from '../../protocol/errors.js'
import { abortable, deadline } from '../deadline.js'
import { STOP_MS } from './constants.js'
import { sendAll, type StreamFormat } from './stream.js'

/** An answer, in one piece or in parts; one of the two is asked for, once. */
export interface Answer {
  /** @throws what the answer fails with */
  whole(signal: AbortSignal): Promise<object>
  /** Undefined where there is nothing to say yet, but the answer has begun. @throws what the answer fails with */
  parts(signal: AbortSignal): AsyncGenerator<object | string | undefined>
}

/** Answers under way: each ends when its client goes away, and all of them when the gateway stops. */
export class Running {
  readonly #answers = new Map<AbortController, Promise<unknown>>()

  /**
   * A client that goes away frees every stage.
   * @param format of a stream; undefined: in one piece
   * @returns the body, where it is not a stream
   * @throws what the answer fails with; of a stream, before its first part
   */
  async answer(reply: FastifyReply, answer: Answer, format: StreamFormat | undefined): Promise<unknown> {
    return this.whole(reply, async signal =>
      format === undefined ? answer.whole(signal) : sendAll(answer.parts(signal), { reply, format, signal })
    )
  }

  /** The same for what comes in one piece only. */
  async whole(reply: FastifyReply, begin: (signal: AbortSignal) => Promise<unknown>): Promise<unknown> {
    const gone = new AbortController()
    const onClose = (): void => gone.abort(new CodedError('ABORTED', 'The client went away.'))
    reply.raw.once('close', onClose)
    const ended = begin(gone.signal)
    this.#answers.set(gone, ended)
    try {
      return await ended
    } finally {
      reply.raw.off('close', onClose)
      this.#answers.delete(gone)
    }
  }

  /** Resolves when all have ended, or after `STOP_MS`. */
  async stop(reason: Error): Promise<void> {
    for (const answer of this.#answers.keys()) answer.abort(reason)
    using limit = deadline('ending the answers', STOP_MS)
    await abortable(Promise.allSettled(this.#answers.values()), limit.signal).catch(() => undefined) // cut off by whoever stops them
  }
}
