import type { FaultName } from '../../protocol/protocol-error.js'
import type { GenerateEvent, GenerateRequest } from '../control/contract.js'
import type { ControlService, GenerateOptions } from '../control/service.js'
import { abortable, deadline, DeadlineError } from '../deadline.js'
import type { EmbedEvent, EmbeddingService, EmbedRequest } from '../pipeline/embedding-types.js'
import { PipelineError } from '../pipeline/errors.js'
import { MAX_ANSWERS, RETRY_MS, TURN_MS } from './constants.js'
import { GatewayError } from './errors.js'

/** Reasons against a stage that pass. */
const ROOM: ReadonlySet<string> = new Set(['busy', 'context'])

type Service = Pick<ControlService, 'generate'> & EmbeddingService

/**
 * Answers in turn: who finds every chain of nodes busy waits, the first come first, until one of this node's own answers
 * ends or others have made room. Only the first in the queue tries, and nobody passes it.
 */
export class Turns implements Service {
  readonly #service: Service
  /** Those who wait; the first one tries. */
  readonly #queue: PromiseWithResolvers<undefined>[] = []
  #answers = 0
  /** Wakes who tries. */
  #onRoom: () => void = () => undefined

  constructor({ service }: { service: Service }) {
    this.#service = service
  }

  /** Answers under way, and those that wait for their turn. */
  get load(): { answers: number; waiting: number } {
    return { answers: this.#answers, waiting: this.#queue.length }
  }

  /** @throws GatewayError OVERLOADED; what the answer ends with */
  generate(
    request: GenerateRequest,
    { signal = never(), caller }: GenerateOptions = {}
  ): AsyncGenerator<GenerateEvent> {
    return this.#inTurn(() => this.#service.generate(request, { signal, caller }), signal)
  }

  /** @throws GatewayError OVERLOADED; what the request ends with */
  embed(request: EmbedRequest, { signal = never() }: { signal?: AbortSignal } = {}): AsyncGenerator<EmbedEvent> {
    return this.#inTurn(() => this.#service.embed(request, { signal }), signal)
  }

  async *#inTurn<E>(begin: () => AsyncIterable<E>, signal: AbortSignal): AsyncGenerator<E> {
    if (this.#answers >= MAX_ANSWERS) throw overloaded(`${this.#answers} answers are under way or wait already`)
    this.#answers++
    try {
      const { first, rest } = await this.#begun(begin, signal)
      try {
        for (let next = first; next.done !== true; next = await rest.next()) yield next.value
      } finally {
        await rest.return?.()
      }
    } finally {
      this.#answers--
      this.#onRoom()
    }
  }

  async #begun<E>(begin: () => AsyncIterable<E>, signal: AbortSignal): Promise<Begun<E>> {
    if (this.#queue.length === 0) {
      const begun = await tried(begin)
      if (begun !== undefined) return begun
    }
    using limit = deadline('waiting for a free chain of nodes', TURN_MS, signal)
    const turn = Promise.withResolvers<undefined>()
    this.#queue.push(turn)
    if (this.#queue.length === 1) turn.resolve(undefined)
    try {
      await abortable(turn.promise, limit.signal)
      for (;;) {
        await this.#room(limit.signal)
        const begun = await tried(begin)
        if (begun !== undefined) return begun
        limit.signal.throwIfAborted()
      }
    } catch (error) {
      throw error instanceof DeadlineError
        ? overloaded(`every chain of nodes was busy for ${TURN_MS / 1_000} s`)
        : error
    } finally {
      this.#queue.splice(this.#queue.indexOf(turn), 1)
      this.#queue[0]?.resolve(undefined)
    }
  }

  /** An answer here has ended, or a while is over. */
  async #room(signal: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<undefined>()
    const timer = setTimeout(() => resolve(undefined), RETRY_MS)
    this.#onRoom = () => resolve(undefined)
    try {
      await abortable(promise, signal)
    } finally {
      clearTimeout(timer)
      this.#onRoom = () => undefined
    }
  }
}

interface Begun<E> {
  first: IteratorResult<E>
  rest: AsyncIterator<E>
}

const never = (): AbortSignal => new AbortController().signal

/** Undefined where everybody is busy. */
async function tried<E>(begin: () => AsyncIterable<E>): Promise<Begun<E> | undefined> {
  const rest = begin()[Symbol.asyncIterator]()
  try {
    return { first: await rest.next(), rest }
  } catch (error) {
    if (isBusy(error)) return undefined
    throw error
  }
}

/** Every layer is served, but nobody has room for one more session. */
function isBusy(error: unknown): boolean {
  if (!(error instanceof PipelineError) || error.code !== 'NO_ROUTE') return false
  const { status, reasons } = error.details
  if (status === ('BUSY' satisfies FaultName)) return true
  return Array.isArray(reasons) && reasons.some(({ reason }: { reason: string }) => ROOM.has(reason))
}

function overloaded(why: string): GatewayError {
  return new GatewayError('OVERLOADED', `This node has too much to do: ${why}. Try again later.`)
}
