import { MAX_SEQUENCE } from '../../protocol/limits.js'
import type { Result } from '../../protocol/result.js'
import type { Step, Want } from '../../protocol/step.js'
import { abortable } from '../deadline.js'
import { PipelineError } from './errors.js'
import { Feed } from './feed.js'
import { Journal } from './journal.js'
import { RouteMender } from './route-mender.js'
import type { AsideFeed } from './route-move.js'
import type { OpenChannel, Seat } from './seat.js'
import type {
  LinkKind,
  Reroute,
  RoutePlanner,
  SessionPlan,
  SessionStage,
  StepAnswer,
  StepRequest
} from './session-types.js'
import { broken, clause } from './stage-faults.js'
import { wrongRows } from './wrong-rows.js'
import { StageWatch } from './stage-watch.js'

export interface RingSessionParts {
  openChannel: OpenChannel
  /** Does this peer live? Rejects when it does not answer in time. */
  ping: (peer: string, options: { signal: AbortSignal }) => Promise<unknown>
  planner: RoutePlanner
  /** Milliseconds, monotonic. */
  now: () => number
  onReroute?: (reroute: Reroute) => void
}

interface PendingStep {
  request: StepRequest
  sent: number
  answer: PromiseWithResolvers<StepAnswer>
}

/**
 * The origin's side of a session: a stage stream to every stage of the route, tokens into the first, candidates out of
 * the last. Stages that are lost are replaced while steps are under way: those that take their place are filled with what
 * was sent before, and no step is answered twice.
 */
export class RingSession {
  readonly #parts: RingSessionParts
  #plan: SessionPlan
  #onReroute: (reroute: Reroute) => void
  readonly #mender: RouteMender
  readonly #watch: StageWatch
  /** The tokens that went to the first stage. */
  readonly #journal = new Journal()
  readonly #pending = new Map<number, PendingStep>()
  readonly #ended = new AbortController()
  #feed: Feed | undefined
  /** What fills the stage that is to take the first one's place. */
  #aside: { first: Seat; feed: Feed } | undefined
  #sequence = 0
  #error: PipelineError | undefined
  /** While set, new steps wait until the route has changed. */
  #held: Promise<unknown> | undefined

  private constructor(parts: RingSessionParts, plan: SessionPlan) {
    this.#parts = parts
    this.#plan = plan
    this.#onReroute = reroute => parts.onReroute?.(reroute)
    this.#watch = new StageWatch({
      ...{ ping: parts.ping, now: parts.now },
      onLost: (peer, error) => this.#mender.losePeer(peer, error),
      onStalled: () => this.#mender.relink(),
      onLate: error => this.close(new PipelineError('STAGE_LOST', `The answer is lost: ${clause(error.message)}.`))
    })
    this.#mender = new RouteMender(
      {
        ...{ openChannel: parts.openChannel, planner: parts.planner, now: parts.now, signal: this.#ended.signal },
        watch: this.#watch,
        feed: (first, options) => this.#feedFirst(first, options),
        feedAside: (first, { exact }) => this.#feedAside(first, exact),
        boundary: () => this.#boundary(),
        liveFrom: () => this.#oldestPending() ?? this.#sequence + 1,
        nextSequence: () => this.#sequence + 1,
        rowsUnderWay: () => Math.max(0, ...[...this.#pending.values()].map(({ request }) => request.tokens.length)),
        rows: () => this.#journal.length,
        onForward: (seat, step) => this.#forward(seat, step),
        onResult: (seat, result) => this.#result(seat, result),
        onReplayed: seat => this.#replayed(seat),
        onReroute: reroute => this.#onReroute(reroute),
        onFailed: error => this.close(error)
      },
      plan
    )
  }

  /** Finds a route, opens every stage, then links each to the next. @throws PipelineError */
  static async open(
    parts: RingSessionParts,
    plan: SessionPlan,
    { signal }: { signal: AbortSignal }
  ): Promise<RingSession> {
    const session = new RingSession(parts, plan)
    const abort = (): void => session.close(new PipelineError('CANCELLED', 'the session was closed'))
    signal.addEventListener('abort', abort, { once: true })
    session.#watch.waiting(parts.now())
    try {
      await session.#mender.mend()
      signal.throwIfAborted()
      session.#watch.waiting(undefined)
      return session
    } catch (error) {
      session.close()
      signal.throwIfAborted()
      throw error
    } finally {
      signal.removeEventListener('abort', abort)
    }
  }

  /** Positions that the stages hold, once every step was answered. */
  get rows(): number {
    return this.#journal.length
  }

  get isOpen(): boolean {
    return this.#error === undefined
  }

  /**
   * Nothing is asked for until it is resumed: its stages keep what they have, and each of them may end the session when
   * others need its room. False where it cannot rest: it is no use to resume it.
   */
  rest(): boolean {
    return this.isOpen && this.#pending.size === 0 && this.#mender.rest() && this.isOpen
  }

  /**
   * Goes on at any position up to `rows`, for whoever asks now. What fails before the first step is answered ends it.
   * @throws PipelineError
   */
  async resume(
    { context, planner, onReroute }: { context: number } & Pick<RingSessionParts, 'planner' | 'onReroute'>,
    { signal }: { signal: AbortSignal }
  ): Promise<void> {
    if (this.#error !== undefined) throw this.#error
    this.#plan = { ...this.#plan, context }
    this.#onReroute = reroute => onReroute?.(reroute)
    this.#watch.waiting(this.#parts.now())
    await abortable(this.#mender.resume(this.#plan, planner), signal)
    this.#watch.waiting(undefined)
  }

  /** The most rows that every stage takes in one step. */
  get rowsPerStep(): number {
    return this.#mender.rowsPerStep
  }

  get stages(): SessionStage[] {
    return this.#mender.seats.map(({ stage }) => stage)
  }

  get links(): LinkKind[] {
    return this.#mender.seats.map(({ link }) => link)
  }

  /** Several may be under way; they are run and answered in order. */
  async step(request: StepRequest): Promise<StepAnswer> {
    while (this.#held !== undefined) await this.#held
    if (this.#error !== undefined) throw this.#error
    if (this.#sequence >= MAX_SEQUENCE) throw new PipelineError('STAGE_LOST', 'no more steps in this session')
    const sequence = ++this.#sequence
    const pending = { request, sent: this.#parts.now(), answer: Promise.withResolvers<StepAnswer>() }
    this.#pending.set(sequence, pending)
    const { tokens, position, want } = request
    const input = { kind: 'tokens' as const, tokens }
    this.#watch.waiting(pending.sent) // first: sending may end the session at once
    this.#journal.append({ sequence, position, rows: tokens.length, input, want, timings: [] })
    this.#feed?.pump()
    this.#aside?.feed.pump()
    return pending.answer.promise
  }

  /** Frees everything on every stage. */
  close(error = new PipelineError('CANCELLED', 'the session was closed')): void {
    this.#error ??= error
    this.#watch.stop()
    this.#feed?.stop()
    this.#aside?.feed.stop()
    this.#ended.abort(this.#error)
    this.#mender.close(this.#error)
    for (const { answer } of this.#pending.values()) answer.reject(this.#error)
    this.#pending.clear()
    this.#journal.close()
  }

  #oldestPending(): number | undefined {
    const [oldest] = this.#pending.keys()
    return oldest
  }

  #feedFirst(first: Seat, { liveFrom, exact }: { liveFrom: number; exact: boolean }): void {
    this.#feed?.stop()
    const replay = { rowsPerStep: first.rowsPerStep, exact }
    this.#feed = new Feed({ journal: this.#journal, send: step => first.send(step) }, { liveFrom, replay })
    this.#feed.pump()
  }

  #feedAside(first: Seat, exact: boolean): AsideFeed {
    const { promise, resolve } = Promise.withResolvers<undefined>()
    const feed = new Feed(
      { journal: this.#journal, send: step => first.send(step), onCaughtUp: () => resolve(undefined) },
      { liveFrom: Infinity, replay: { rowsPerStep: first.rowsPerStep, exact } }
    )
    this.#aside = { first, feed }
    const stop = (): void => {
      feed.stop()
      this.#aside = undefined
    }
    const promote = (): void => {
      this.#feed?.stop()
      this.#feed = feed
      this.#aside = undefined
      feed.goLive(this.#sequence + 1)
    }
    feed.pump()
    return { caughtUp: promise, promote, stop }
  }

  #boundary(): { reached: Promise<unknown> } & Disposable {
    const over = Promise.withResolvers<undefined>()
    this.#held = over.promise
    const reached = Promise.allSettled([...this.#pending.values()].map(async ({ answer }) => answer.promise))
    const release = (): void => {
      this.#held = undefined
      over.resolve(undefined)
    }
    return { reached, [Symbol.dispose]: release }
  }

  /** Star: hidden states from a stage that cannot reach the next one. */
  #forward(seat: Seat, step: Step): void {
    const { seats } = this.#mender
    const at = seats.indexOf(seat)
    const next = seats[at + 1]
    if (at < 0) return
    if (this.#isAnswered(seat, step)) return
    const wrong = next === undefined ? 'it has no next stage' : this.#wrongForward(seat, step)
    if (wrong !== undefined) {
      seat.lose(broken(seat.stage, wrong))
      return
    }
    if (step.replay !== true) seat.forwarded = step.sequence
    next?.send({ ...step, want: this.#wantOf(step) })
  }

  /** A step that was sent again in case it had not arrived, and has been answered meanwhile. */
  #isAnswered(seat: Seat, { sequence, replay }: Step): boolean {
    const sentAgain = replay !== true && sequence > seat.forwarded && sequence <= this.#sequence
    if (!sentAgain || this.#pending.has(sequence)) return false
    seat.forwarded = sequence
    return true
  }

  #wantOf({ sequence, want, replay }: Step): Want {
    return replay === true ? want : (this.#pending.get(sequence)?.request.want ?? NOTHING)
  }

  #wrongForward(seat: Seat, { sequence, position, rows, replay }: Step): string | undefined {
    const unasked = 'it sent hidden states that this node did not ask it for'
    if (seat.link !== 'star') return unasked
    if (replay === true) return position + rows <= this.#journal.length ? undefined : unasked
    const request = this.#pending.get(sequence)?.request
    const follows = sequence > seat.forwarded && request?.position === position && request.tokens.length === rows
    return follows ? undefined : unasked
  }

  #replayed(seat: Seat): void {
    const { seats } = this.#mender
    const at = seats.indexOf(seat)
    if (seat === this.#aside?.first) this.#aside.feed.replayed()
    else if (at === 0) this.#feed?.replayed()
    else seats[at - 1]?.replayed(this.#sequence)
  }

  #result(seat: Seat, { sequence, rows, timings }: Result): void {
    const { seats } = this.#mender
    const pending = this.#pending.get(sequence)
    if (!seats.includes(seat)) return
    if (seat !== seats.at(-1) || pending === undefined) {
      seat.lose(broken(seat.stage, 'it sent a result that nobody waits for'))
      return
    }
    const wrong = wrongRows(rows, pending.request.want, this.#plan)
    if (wrong !== undefined) {
      seat.lose(broken(seat.stage, wrong))
      return
    }
    this.#pending.delete(sequence)
    this.#mender.progressed(sequence)
    const elapsed = this.#parts.now() - pending.sent
    this.#watch.answered(elapsed)
    if (pending.request.tokens.length === 1) this.#mender.paced(timings.map(({ handled }) => handled))
    this.#watch.waiting(this.#pending.size === 0 ? undefined : this.#parts.now())
    pending.answer.resolve({ rows, timings, elapsed })
  }
}

const NOTHING: Want = { rows: 0, candidates: 0, ids: [], logSumExp: false }
