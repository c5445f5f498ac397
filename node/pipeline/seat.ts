import { randomBytes } from 'node:crypto'
import { asError } from '../../protocol/errors.js'
import { SECRET_BYTES, SESSION_BYTES } from '../../protocol/limits.js'
import { ProtocolError } from '../../protocol/protocol-error.js'
import type { Result } from '../../protocol/result.js'
import { endsSession, type Fault, type Link, type StageReply } from '../../protocol/stage.js'
import type { Step } from '../../protocol/step.js'
import { abortable, deadline } from '../deadline.js'
import { LINK_MS, OPEN_MS } from './constants.js'
import { PipelineError } from './errors.js'
import type { LinkKind, SessionPlan, SessionStage } from './session-types.js'
import type { StageChannel, StageChannelHandlers } from './stage-channel.js'
import { broken, lost, refused } from './stage-faults.js'

export type OpenChannel = (
  stage: SessionStage,
  handlers: StageChannelHandlers,
  options: { signal: AbortSignal }
) => Promise<StageChannel>

/** What a stage tells the session; never called after `close`. */
export interface SeatHandlers {
  /** There is a stream; whether anybody answers shows later. */
  onConnected: (seat: Seat) => void
  onForward: (seat: Seat, step: Step) => void
  onResult: (seat: Seat, result: Result) => void
  onReplayed: (seat: Seat) => void
  /** Its next stage is gone, as it says. */
  onUnlinked: (seat: Seat) => void
  /** Another stage should take its place. */
  onDrain: (seat: Seat) => void
  /** The stage is gone, refuses or breaks the protocol. */
  onLost: (seat: Seat, error: PipelineError) => void
}

/** The origin's end of one stage of a session: one question at a time, and what the stage says unasked. */
export class Seat {
  readonly stage: SessionStage
  /** Its own id of the session, hex. */
  readonly session = randomBytes(SESSION_BYTES).toString('hex')
  readonly secret = randomBytes(SECRET_BYTES)
  link: LinkKind = 'ring'
  /** False from the moment in which its next stage is lost until it is linked again. */
  linked = true
  /** Sequence number of the last step that this node carried on from it. */
  forwarded = 0
  /** Sequence number of the first step that was sent after it came. */
  since = 1
  /** It has seen everything that was sent before it was there. */
  filled = true
  /** The most rows that it takes in one step. */
  rowsPerStep = 0
  /** Milliseconds that a token takes there, lately; 0 until it is known. */
  pace = 0
  readonly #openChannel: OpenChannel
  readonly #handlers: SeatHandlers
  #channel: StageChannel | undefined
  #settle: PromiseWithResolvers<StageReply> | undefined
  #caughtUp: PromiseWithResolvers<undefined> | undefined
  #lost: PipelineError | undefined

  constructor(stage: SessionStage, openChannel: OpenChannel, handlers: SeatHandlers) {
    this.stage = stage
    this.#openChannel = openChannel
    this.#handlers = handlers
  }

  /** Why it is of no use any more. */
  get lost(): PipelineError | undefined {
    return this.#lost
  }

  /** Resolves when everything that was to be replayed over the last link was run by the next stage. */
  async caughtUp(): Promise<undefined> {
    return this.#caughtUp?.promise
  }

  /** @throws PipelineError with `peer`; the signal's reason */
  async open({ manifest, context, dtype }: SessionPlan, signal: AbortSignal): Promise<void> {
    const { peer, start, leave } = this.stage
    using limit = deadline(`opening layers ${start}-${leave} on ${peer}`, OPEN_MS, signal)
    const handlers = {
      onReply: (reply: StageReply) => this.#receive(reply),
      onLost: (error: Error) => this.lose(this.#failure(error))
    }
    try {
      const channel = await this.#openChannel(this.stage, handlers, { signal: limit.signal })
      if (this.#lost !== undefined) {
        channel.close()
        throw this.#lost
      }
      this.#channel = channel
      this.#handlers.onConnected(this)
      const { session, secret } = this
      const reply = await this.#ask(
        { type: 'open', open: { session, manifest, start, leave, secret, dtype, context } },
        limit.signal
      )
      if (reply.type !== 'opened') throw this.#unexpected(reply, 'open')
      this.rowsPerStep = reply.rowsPerStep
    } catch (error) {
      signal.throwIfAborted()
      throw this.#lost ?? this.#failure(asError(error))
    }
  }

  /**
   * The ring where the two stages reach each other, the star through this node where they do not and `aside` is not wanted.
   * @throws PipelineError; ProtocolError `JOURNAL_GONE`, `UNREACHABLE`: it stays as it was
   */
  async linkTo(next: Seat, options: Omit<Link, 'next'>, signal: AbortSignal): Promise<void> {
    const { peer } = this.stage
    using limit = deadline(`linking ${peer} to ${next.stage.peer}`, LINK_MS + OPEN_MS, signal)
    const { addresses, peer: nextPeer } = next.stage
    const { session, secret } = next
    this.#caughtUp = Promise.withResolvers<undefined>()
    this.#caughtUp.promise.catch(() => undefined) // nobody may wait for it
    let kind: LinkKind = 'ring'
    let reply = await this.#askLink({ ...options, next: { peer: nextPeer, addresses, session, secret } }, limit.signal)
    if (reply.type === 'fault' && reply.fault.code === 'UNREACHABLE' && !options.aside) {
      kind = 'star'
      this.forwarded = options.liveFrom - 1
      this.link = kind // what comes with the answer is let through
      reply = await this.#askLink({ ...options, next: 'origin' }, limit.signal)
    }
    if (reply.type === 'fault') throw new ProtocolError(reply.fault.code, reply.fault.message)
    if (reply.type !== 'linked') throw this.#unexpected(reply, 'link')
    if (options.aside) return
    this.link = kind
    this.linked = true
  }

  /** A loss shows in `onLost`. */
  send(step: Step): void {
    this.#tell({ type: 'step', step })
  }

  /** It may end the session where others need its room: that is told as a loss. */
  rest(): void {
    this.#tell({ type: 'rest' })
  }

  /** With so many positions. @throws PipelineError with `peer`; the signal's reason */
  async resume(context: number, signal: AbortSignal): Promise<void> {
    using limit = deadline(`resuming the session on ${this.stage.peer}`, OPEN_MS, signal)
    try {
      const reply = await this.#ask({ type: 'resume', context }, limit.signal)
      if (reply.type !== 'resumed') throw this.#unexpected(reply, 'resume')
    } catch (error) {
      signal.throwIfAborted()
      throw this.#lost ?? this.#failure(asError(error))
    }
  }

  /** Its next stage, which this node feeds for it, has run a replayed step. */
  replayed(sequence: number): void {
    this.#tell({ type: 'replayed', sequence })
  }

  /** The first reason counts; the session hears of it once. */
  lose(error: PipelineError): void {
    if (this.#lost !== undefined) return
    this.close(error)
    this.#handlers.onLost(this, error)
  }

  /** The stage frees everything; nobody is told. */
  close(error: PipelineError): void {
    this.#lost ??= error
    this.#channel?.close()
    this.#settle?.reject(this.#lost)
    this.#settle = undefined
    this.#caughtUp?.reject(this.#lost)
  }

  async #askLink(link: Link, signal: AbortSignal): Promise<StageReply> {
    try {
      return await this.#ask({ type: 'link', link }, signal)
    } catch (error) {
      throw this.#lost ?? this.#failure(asError(error))
    }
  }

  async #ask(request: Parameters<StageChannel['send']>[0], signal: AbortSignal): Promise<StageReply> {
    if (this.#lost !== undefined) throw this.#lost
    const settle = Promise.withResolvers<StageReply>()
    settle.promise.catch(() => undefined) // the deadline may come first
    this.#settle = settle // a stage on this node answers before `send` returns
    this.#channel?.send(request)
    return await abortable(settle.promise, signal)
  }

  #tell(request: Parameters<StageChannel['send']>[0]): void {
    if (this.#lost !== undefined) return
    try {
      this.#channel?.send(request)
    } catch (error) {
      this.lose(this.#failure(asError(error)))
    }
  }

  #receive(reply: StageReply): void {
    if (this.#lost !== undefined) return
    switch (reply.type) {
      case 'opened':
      case 'linked':
      case 'resumed':
        this.#answer(reply)
        return
      case 'fault':
        this.#fault(reply.fault)
        return
      case 'forward':
        this.#handlers.onForward(this, reply.step)
        return
      case 'result':
        this.#handlers.onResult(this, reply.result)
        return
      case 'replayed':
        this.#handlers.onReplayed(this)
        return
      case 'unlinked':
        this.linked = false
        this.#handlers.onUnlinked(this)
        return
      case 'caught-up':
        this.#caughtUp?.resolve(undefined)
        return
      case 'drain':
        this.#handlers.onDrain(this)
    }
  }

  #answer(reply: StageReply): void {
    const settle = this.#settle
    this.#settle = undefined
    if (settle === undefined) this.lose(broken(this.stage, `it answered ${reply.type} unasked`))
    else settle.resolve(reply)
  }

  #fault(fault: Fault): void {
    if (endsSession(fault)) this.lose(refused(this.stage, fault))
    else this.#answer({ type: 'fault', fault })
  }

  #unexpected(reply: StageReply, to: string): PipelineError {
    return broken(this.stage, `it answered ${reply.type} to ${to}`)
  }

  #failure(error: Error): PipelineError {
    if (error instanceof PipelineError) return error
    return error instanceof ProtocolError ? broken(this.stage, error.message) : lost(this.stage, error)
  }
}
