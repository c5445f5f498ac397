import { randomBytes } from 'node:crypto'
import { asError } from '../../protocol/errors.js'
import { MAX_SEQUENCE, SECRET_BYTES, SESSION_BYTES } from '../../protocol/limits.js'
import type { Dtype } from '../../protocol/hidden-states.js'
import { ProtocolError, type FaultName } from '../../protocol/protocol-error.js'
import type { Result, RowCandidates } from '../../protocol/result.js'
import type { Fault, StageReply } from '../../protocol/stage.js'
import type { Step, Timing, Want } from '../../protocol/step.js'
import { abortable, deadline, DeadlineError } from '../deadline.js'
import type { RouteStage } from '../scheduler/types.js'
import { LINK_MS, OPEN_MS } from './constants.js'
import { PipelineError } from './errors.js'
import type { StageChannel, StageChannelHandlers } from './stage-channel.js'
import { StageWatch } from './stage-watch.js'

/** A stage of the route and how to reach it. */
export interface SessionStage extends RouteStage {
  /** Multiaddrs. */
  addresses: string[]
  /** What its owner calls it. */
  name?: string
}

export interface SessionPlan {
  /** Manifest hash, hex. */
  manifest: string
  vocabulary: number
  stages: readonly SessionStage[]
  /** Positions to reserve. */
  context: number
  dtype: Dtype
}

export interface RingSessionParts {
  openChannel: (
    stage: SessionStage,
    handlers: StageChannelHandlers,
    options: { signal: AbortSignal }
  ) => Promise<StageChannel>
  /** Does this peer live? Rejects when it does not answer in time. */
  ping: (peer: string, options: { signal: AbortSignal }) => Promise<unknown>
  /** Milliseconds, monotonic. */
  now: () => number
}

export interface StepRequest {
  tokens: Uint32Array
  position: number
  want: Want
}

export interface StepAnswer {
  /** As many as were wanted. */
  rows: RowCandidates[]
  /** A stage each, in the order of the route. */
  timings: Timing[]
  /** Milliseconds from sending to this answer. */
  elapsed: number
}

/** How a stage's hidden states reach the next one; the last one answers the origin. */
export type LinkKind = 'ring' | 'star'

interface Seat {
  stage: SessionStage
  /** Undefined until it is reached. */
  channel: StageChannel | undefined
  secret: Uint8Array
  link: LinkKind
  /** Sequence number of the last step that this node carried on from it. */
  forwarded: number
  /** The answer to what this stage was asked last: open or link. */
  settle: PromiseWithResolvers<StageReply> | undefined
}

interface PendingStep {
  request: StepRequest
  sent: number
  answer: PromiseWithResolvers<StepAnswer>
}

/**
 * The origin's side of a session: a stage stream to every stage of the route, tokens into the first, candidates out of
 * the last. Any loss ends it: every call under way and later rejects with the same error.
 */
export class RingSession {
  readonly #parts: RingSessionParts
  readonly #plan: SessionPlan
  readonly #id = randomBytes(SESSION_BYTES).toString('hex')
  readonly #seats: readonly Seat[]
  readonly #pending = new Map<number, PendingStep>()
  readonly #watch: StageWatch
  #sequence = 0
  #error: PipelineError | undefined
  #rowsPerStep = Infinity

  private constructor(parts: RingSessionParts, plan: SessionPlan) {
    this.#parts = parts
    this.#plan = plan
    this.#seats = plan.stages.map(stage => ({
      stage,
      channel: undefined,
      secret: randomBytes(SECRET_BYTES),
      link: 'ring',
      forwarded: 0,
      settle: undefined
    }))
    this.#watch = new StageWatch({
      ...{ ping: parts.ping, now: parts.now },
      onLost: (peer, error) => this.#lose(peer, error),
      onLate: error => this.close(new PipelineError('STAGE_LOST', `The answer is lost: ${clause(error.message)}.`))
    })
  }

  /** Opens every stage, then links each to the next. @throws PipelineError STAGE_REFUSED or STAGE_LOST, with `peer` */
  static async open(
    parts: RingSessionParts,
    plan: SessionPlan,
    { signal }: { signal: AbortSignal }
  ): Promise<RingSession> {
    const session = new RingSession(parts, plan)
    session.#watch.waiting(parts.now())
    try {
      await Promise.all(session.#seats.map((seat, index) => session.#openStage(seat, index, signal)))
      await Promise.all(session.#seats.slice(0, -1).map((seat, index) => session.#link(seat, index, signal)))
      session.#watch.waiting(undefined)
      return session
    } catch (error) {
      session.close()
      throw error
    }
  }

  /** The most rows that every stage takes in one step. */
  get rowsPerStep(): number {
    return this.#rowsPerStep
  }

  get links(): LinkKind[] {
    return this.#seats.map(({ link }) => link)
  }

  /** Several may be under way; they are run and answered in order. */
  async step(request: StepRequest): Promise<StepAnswer> {
    if (this.#error !== undefined) throw this.#error
    const first = this.#seats[0]
    if (first === undefined || this.#sequence >= MAX_SEQUENCE) throw new PipelineError('STAGE_LOST', 'no such stage')
    const sequence = ++this.#sequence
    const pending = { request, sent: this.#parts.now(), answer: Promise.withResolvers<StepAnswer>() }
    this.#pending.set(sequence, pending)
    const { tokens, position, want } = request
    const input = { kind: 'tokens' as const, tokens }
    this.#watch.waiting(pending.sent) // first: sending may end the session at once
    this.#send(first, { sequence, position, rows: tokens.length, input, want, timings: [] })
    return pending.answer.promise
  }

  /** Frees everything on every stage. */
  close(error = new PipelineError('CANCELLED', 'the session was closed')): void {
    this.#error ??= error
    this.#watch.stop()
    for (const seat of this.#seats) {
      seat.channel?.close()
      seat.settle?.reject(this.#error)
    }
    for (const { answer } of this.#pending.values()) answer.reject(this.#error)
    this.#pending.clear()
  }

  async #openStage(seat: Seat, index: number, signal: AbortSignal): Promise<void> {
    const { stage, secret } = seat
    using limit = deadline(`opening layers ${stage.start}-${stage.leave} on ${stage.peer}`, OPEN_MS, signal)
    const settle = Promise.withResolvers<StageReply>()
    settle.promise.catch(() => undefined) // awaited below, unless dialling fails first
    const handlers = {
      onReply: (reply: StageReply) => this.#receive(index, reply),
      onLost: (error: Error) => this.#lose(stage.peer, error)
    }
    seat.settle = settle
    try {
      const channel = await this.#parts.openChannel(stage, handlers, { signal: limit.signal })
      if (this.#error !== undefined) {
        channel.close()
        throw this.#error
      }
      seat.channel = channel
      if (!stage.local) this.#watch.add(stage.peer)
      const { manifest, context, dtype } = this.#plan
      const { start, leave } = stage
      channel.send({ type: 'open', open: { session: this.#id, manifest, start, leave, secret, dtype, context } })
      const reply = await abortable(settle.promise, limit.signal)
      if (reply.type !== 'opened') throw this.#faulty(stage.peer, `it answered ${reply.type} to open`)
      this.#rowsPerStep = Math.min(this.#rowsPerStep, reply.rowsPerStep)
    } catch (error) {
      signal.throwIfAborted()
      throw error instanceof PipelineError ? error : lost(stage, asError(error))
    }
  }

  /** The ring where the two stages reach each other, the star through this node where they do not. */
  async #link(seat: Seat, index: number, signal: AbortSignal): Promise<void> {
    const next = this.#seats[index + 1]
    if (next === undefined) return
    using limit = deadline(`linking ${seat.stage.peer} to ${next.stage.peer}`, LINK_MS + OPEN_MS, signal)
    const { peer, addresses } = next.stage
    let reply = await this.#ask(seat, { peer, addresses, secret: next.secret }, limit.signal)
    if (reply.type === 'fault') {
      seat.link = 'star'
      reply = await this.#ask(seat, 'origin', limit.signal)
    }
    if (reply.type !== 'linked') throw this.#faulty(seat.stage.peer, `it answered ${reply.type} to link`)
  }

  async #ask(
    seat: Seat,
    next: { peer: string; addresses: string[]; secret: Uint8Array } | 'origin',
    signal: AbortSignal
  ): Promise<StageReply> {
    const settle = Promise.withResolvers<StageReply>()
    settle.promise.catch(() => undefined) // the deadline may come first
    seat.settle = settle // a stage on this node answers before `send` returns
    try {
      seat.channel?.send({ type: 'link', next })
      return await abortable(settle.promise, signal)
    } catch (error) {
      throw error instanceof PipelineError ? error : lost(seat.stage, asError(error))
    }
  }

  #receive(index: number, reply: StageReply): void {
    const seat = this.#seats[index]
    if (seat === undefined || this.#error !== undefined) return
    switch (reply.type) {
      case 'opened':
      case 'linked':
        this.#answer(seat, reply)
        return
      case 'fault':
        this.#fault(seat, index, reply.fault)
        return
      case 'forward':
        this.#forward(seat, index, reply.step)
        return
      case 'result':
        this.#result(seat, index, reply.result)
    }
  }

  #answer(seat: Seat, reply: StageReply): void {
    const { settle } = seat
    seat.settle = undefined
    if (settle === undefined) this.close(this.#faulty(seat.stage.peer, `it answered ${reply.type} unasked`))
    else settle.resolve(reply)
  }

  #fault(seat: Seat, index: number, fault: Fault): void {
    if (fault.code === 'UNREACHABLE') {
      this.#answer(seat, { type: 'fault', fault })
      return
    }
    // A stage that has lost its neighbour speaks of the one after it.
    const { stage } = (fault.code === 'STAGE_LOST' ? this.#seats[index + 1] : undefined) ?? seat
    this.close(faultError(stage, fault))
  }

  #forward(seat: Seat, index: number, step: Step): void {
    const next = this.#seats[index + 1]
    const { sequence, position, rows } = step
    const request = this.#pending.get(sequence)?.request
    const carried = seat.link === 'star' && sequence === seat.forwarded + 1
    if (!carried || next === undefined || request?.position !== position || request.tokens.length !== rows) {
      this.close(this.#faulty(seat.stage.peer, 'it sent hidden states that this node did not ask it for'))
      return
    }
    seat.forwarded = sequence
    this.#send(next, { ...step, want: request.want })
  }

  #result(seat: Seat, index: number, { sequence, rows, timings }: Result): void {
    const pending = this.#pending.get(sequence)
    if (index !== this.#seats.length - 1 || pending === undefined) {
      this.close(this.#faulty(seat.stage.peer, 'it sent a result that nobody waits for'))
      return
    }
    const wrong = wrongRows(rows, pending.request.want, this.#plan.vocabulary)
    if (wrong !== undefined) {
      this.close(this.#faulty(seat.stage.peer, wrong))
      return
    }
    this.#pending.delete(sequence)
    const [oldest] = this.#pending.values()
    this.#watch.waiting(oldest === undefined ? undefined : this.#parts.now())
    pending.answer.resolve({ rows, timings, elapsed: this.#parts.now() - pending.sent })
  }

  #send({ channel, stage }: Seat, step: Step): void {
    try {
      channel?.send({ type: 'step', step })
    } catch (error) {
      this.#lose(stage.peer, asError(error))
    }
  }

  #lose(peer: string, error: Error): void {
    if (this.#error !== undefined) return
    this.close(error instanceof ProtocolError ? this.#faulty(peer, error.message) : this.#lost(peer, error))
  }

  #lost(peer: string, error: Error): PipelineError {
    const stage = this.#plan.stages.find(other => other.peer === peer)
    return stage === undefined ? this.#faulty(peer, error.message) : lost(stage, error)
  }

  #faulty(peer: string, what: string): PipelineError {
    return new PipelineError('STAGE_FAULTY', `The stage ${peer} broke the protocol: ${what}.`, { details: { peer } })
  }
}

function describe({ name = '', peer, start, leave }: SessionStage): string {
  return `The stage with layers ${start}-${leave} (${name === '' ? peer : name})`
}

/** Others' messages end with a full stop, or without one. */
function clause(message: string): string {
  return message.replace(/\.$/, '')
}

/** What these say: the stage is gone. */
const GONE: ReadonlySet<FaultName> = new Set(['STAGE_LOST', 'LEAVING', 'ENGINE_FAILED'])

function faultError(at: SessionStage, { code, message }: Fault): PipelineError {
  const stage = describe(at)
  const { peer, start, leave } = at
  const details = { peer, start, leave, status: code }
  if (code === 'BUSY') return new PipelineError('NO_ROUTE', `${stage} is busy: ${clause(message)}.`, { details })
  if (code === 'CONTEXT_FULL') {
    const advice = 'Shorten the prompt, or ask for a shorter answer with --max-tokens.'
    return new PipelineError('CONTEXT_EXCEEDED', `${stage} has not enough room: ${clause(message)}. ${advice}`, {
      details
    })
  }
  if (GONE.has(code)) return new PipelineError('STAGE_LOST', `${stage} is lost: ${clause(message)}.`, { details })
  return new PipelineError('STAGE_REFUSED', `${stage} refused with ${code}: ${message}`, { details })
}

function lost(stage: SessionStage, cause: Error): PipelineError {
  const { peer, start, leave } = stage
  const reason = cause instanceof DeadlineError ? 'it does not answer' : clause(cause.message)
  const message = `${describe(stage)} is lost: ${reason}.`
  return new PipelineError('STAGE_LOST', message, { details: { peer, start, leave }, cause })
}

/** Why an answer cannot be right; undefined when it may be. */
function wrongRows(rows: readonly RowCandidates[], want: Want, vocabulary: number): string | undefined {
  if (rows.length !== want.rows) return `${rows.length} rows of candidates where ${want.rows} were wanted`
  const least = Math.min(want.candidates, vocabulary) + want.ids.length
  for (const { ids } of rows) {
    if (ids.length !== least) return `${ids.length} candidates where ${least} were wanted`
    if (ids.some(id => id >= vocabulary)) return 'candidates outside the vocabulary'
  }
  return undefined
}
