import { Socket } from 'node:net'
import { asError } from '../../protocol/errors.js'
import { Channel, CHANNEL_FD, type Message } from './channel.js'
import { STRUCTURED } from './codec.js'
import { EngineError } from './errors.js'
import { REPLY, type CallCodecs, type Calls, type LogLevel, type SentError, type SentLog } from './messages.js'

type Handlers<C extends Calls<C>> = {
  [K in keyof C]: (request: C[K]['request']) => C[K]['answer'] | Promise<C[K]['answer']>
}

/** The child's end of the channel: answers the parent's calls, and passes on what there is to log. */
export class CallServer<C extends Calls<C>> {
  readonly #codecs: CallCodecs<C>
  #channel: Channel | undefined

  constructor(codecs: CallCodecs<C>) {
    this.#codecs = codecs
  }

  /**
   * Answers until the parent closes the channel or is gone, which ends this process. Signals that a terminal or a service
   * manager sends to the whole process group are left to the parent, which may need this process to drain.
   */
  serve(handlers: Handlers<C>): void {
    process.on('SIGINT', () => undefined)
    process.on('SIGTERM', () => undefined)
    const names = Object.keys(this.#codecs) as (keyof C)[]
    const answer = async ({ id, kind, body }: Message): Promise<void> => {
      try {
        const name = names[kind]
        if (name === undefined) throw new Error(`unknown call ${kind}`)
        const { request, answer } = this.#codecs[name]
        this.#channel?.send(id, REPLY.answer, answer.encode(await handlers[name](request.decode(body))))
      } catch (error) {
        this.#channel?.send(id, REPLY.error, STRUCTURED.encode(describe(error)))
      }
    }
    this.#channel = new Channel(new Socket({ fd: CHANNEL_FD }), {
      onMessage: message => void answer(message),
      onClose: () => process.exit(0)
    })
  }

  log(level: LogLevel, message: string): void {
    this.#channel?.send(0, REPLY.log, STRUCTURED.encode({ level, message } satisfies SentLog))
  }
}

function describe(error: unknown): SentError {
  if (error instanceof EngineError) return { code: error.code, message: error.message, details: error.details }
  return { code: undefined, message: asError(error).stack ?? asError(error).message, details: {} }
}
