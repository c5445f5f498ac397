import { asError } from '../../protocol/errors.js'
import { ProtocolError } from '../../protocol/protocol-error.js'
import type { Result } from '../../protocol/result.js'
import type { Replay } from '../../protocol/stage.js'
import type { Step } from '../../protocol/step.js'
import { MEND_ATTEMPTS } from './constants.js'
import { Departures } from './departures.js'
import { PipelineError } from './errors.js'
import { FailedPeers } from './failed-peers.js'
import { lostRun, replacementFor, segmentOf, type Found, type Run } from './mending.js'
import { RouteMove, type AsideFeed } from './route-move.js'
import { Seat, type OpenChannel, type SeatHandlers } from './seat.js'
import type { Reroute, RoutePlanner, SessionPlan, SessionStage } from './session-types.js'
import { asPipelineError, broken, isMendable, lost, replaced } from './stage-faults.js'
import type { StageWatch } from './stage-watch.js'

/** What the session knows and does for its route. */
export interface RouteMenderParts {
  openChannel: OpenChannel
  planner: RoutePlanner
  watch: Pick<StageWatch, 'add' | 'remove' | 'ask' | 'lives'>
  /** The session's end. */
  signal: AbortSignal
  /** Milliseconds, monotonic. */
  now: () => number
  /** From now on tokens go to this stage, those of before first. */
  feed: (first: Seat, options: { liveFrom: number; exact: boolean }) => void
  /** Replays to a stage that is to become the first one, beside the one that is. */
  feedAside: (first: Seat, options: { exact: boolean }) => AsideFeed
  /** Holds back new steps, and tells when none is under way. */
  boundary: () => { reached: Promise<unknown> } & Disposable
  /** Sequence number of the next step. */
  nextSequence: () => number
  /** Of the oldest step that was not answered, or of the next one. */
  liveFrom: () => number
  /** The most rows of a step that was not answered. */
  rowsUnderWay: () => number
  /** Positions that were sent so far. */
  rows: () => number
  onForward: (seat: Seat, step: Step) => void
  onResult: (seat: Seat, result: Result) => void
  onReplayed: (seat: Seat) => void
  onReroute: (reroute: Reroute) => void
  onFailed: (error: PipelineError) => void
}

/** Makes the route of a session and keeps it whole: opening it is mending one that has no stages yet. */
export class RouteMender {
  readonly #parts: RouteMenderParts
  #planner: RoutePlanner
  #plan: SessionPlan
  readonly #handlers: SeatHandlers
  readonly #failed: FailedPeers
  readonly #seats: Seat[] = []
  /** Opened and not yet in the route. */
  #fresh: Seat[] = []
  readonly #departures = new Departures(() => this.#start())
  #move: RouteMove | undefined
  #mending: Promise<void> | undefined
  #attempts = 0
  #looks = 0
  #left: Reroute['left'] = []
  #pausedSince: number | undefined
  /** Nothing is asked of it: what would change it ends the session instead. */
  #rests = false
  /** It has rested, and no step has shown since that all stages still have what they had: a loss ends the session. */
  #frail = false

  constructor(parts: RouteMenderParts, plan: SessionPlan) {
    this.#parts = parts
    this.#planner = parts.planner
    this.#plan = plan
    this.#failed = new FailedPeers(parts.now)
    this.#handlers = {
      onConnected: ({ stage }) => {
        if (!stage.local) parts.watch.add(stage.peer)
      },
      onForward: parts.onForward,
      onResult: parts.onResult,
      onReplayed: parts.onReplayed,
      onUnlinked: () => this.#disturbed(),
      onDrain: seat => {
        this.#departures.asked(seat)
        this.#start()
      },
      onLost: (seat, error) => this.#onLost(seat, error)
    }
  }

  /** In the order of the route. */
  get seats(): readonly Seat[] {
    return this.#seats
  }

  get rowsPerStep(): number {
    return Math.min(...this.#seats.map(({ rowsPerStep }) => rowsPerStep))
  }

  /** Until every stage is there and linked. @throws PipelineError where that cannot be */
  async mend(): Promise<void> {
    this.#mending ??= this.#mend()
    return this.#mending
  }

  /** Every stage may end the session from now on. False where that cannot be: the route is not whole, or about to change. */
  rest(): boolean {
    const isWhole = this.#seats.every(({ lost: gone, linked, filled }) => gone === undefined && linked && filled)
    if (this.#mending !== undefined || this.#departures.isDue || !isWhole) return false
    this.#rests = true
    this.#frail = true
    for (const seat of this.#seats) seat.rest()
    return this.#seats.every(({ lost: gone }) => gone === undefined)
  }

  /** The same stages, for what another plan needs of them. Losses are mended again once a step was answered. @throws PipelineError */
  async resume(plan: SessionPlan, planner: RoutePlanner): Promise<void> {
    this.#plan = plan
    this.#planner = planner
    await Promise.all(this.#seats.map(async seat => seat.resume(plan.context, this.#parts.signal)))
    this.#rests = false
  }

  /** A step was answered: what failed before is over. */
  progressed(sequence: number): void {
    this.#frail = false
    // While the route is mended, what comes was under way before.
    if (this.#mending === undefined) {
      this.#attempts = 0
      this.#looks = 0
      this.#failed.forgive()
    }
    for (const seat of this.#seats) seat.filled ||= sequence >= seat.since
  }

  /** All stages live and nothing comes: links may have died unnoticed. */
  relink(): void {
    if (this.#seats.some(({ filled }) => !filled)) return // a long replay is no stall
    for (const seat of this.#seats.slice(0, -1)) seat.linked = false
    this.#disturbed()
  }

  /** A token has come through the whole route: how long it took at each stage, ms. Slow stages are replaced while they go on. */
  paced(milliseconds: readonly number[]): void {
    if (this.#mending === undefined && this.#departures.paced(this.#seats, milliseconds, seat => this.#isSlow(seat))) {
      this.#start()
    }
  }

  losePeer(peer: string, error: Error): void {
    for (const seat of [...this.#seats, ...this.#fresh]) {
      if (seat.stage.peer === peer && !seat.stage.local) seat.lose(lost(seat.stage, error))
    }
  }

  close(error: PipelineError): void {
    this.#departures.stop()
    this.#move?.disturb()
    for (const seat of [...this.#seats, ...this.#fresh]) seat.close(error)
  }

  #isSlow(seat: Seat): boolean {
    const at = this.#seats.indexOf(seat)
    const exclude = this.#failed.current().add(seat.stage.peer)
    const segment = segmentOf(this.#seats, { from: at, to: at + 1 }, this.#plan.layers)
    const pace = { stage: seat.stage, seconds: seat.pace / 1_000, rows: this.#parts.rows() }
    return this.#planner.isSlow(segment, pace, exclude)
  }

  #start(): void {
    if (this.#rests)
      this.#parts.onFailed(new PipelineError('STAGE_LOST', 'A stage of the session that rested has to go.'))
    else this.mend().catch((error: unknown) => this.#parts.onFailed(asPipelineError(error)))
  }

  async #mend(): Promise<void> {
    try {
      while (await this.#mendOne());
    } finally {
      this.#mending = undefined // at once: whatever is lost from now on is mended anew
    }
    this.#report()
  }

  /** Whether there was something to do. @throws PipelineError */
  async #mendOne(): Promise<boolean> {
    this.#parts.signal.throwIfAborted()
    this.#leaveUnfilled()
    const run = lostRun(this.#seats)
    const unlinked = this.#seats.findIndex(({ linked }) => !linked)
    const leaving = this.#departures.next(this.#seats)
    if (run === undefined && unlinked < 0 && leaving === undefined) return false
    const found = run && (await this.#lookFor(run))
    try {
      if (found !== undefined) await this.#replace(found)
      else if (run === undefined && unlinked >= 0) await this.#relink(unlinked)
      else if (run === undefined && leaving !== undefined) await this.#moveOn(leaving)
    } catch (error) {
      this.#tryAgain(asError(error))
    }
    return true
  }

  /** Whoever was being filled by a stage or over a link that is lost begins anew. */
  #leaveUnfilled(): void {
    for (const [i, seat] of this.#seats.entries()) {
      const before = this.#seats[i - 1]
      if (!seat.filled && before !== undefined && (before.lost !== undefined || !before.linked)) this.#leave(seat)
    }
  }

  /** Undefined: look again. @throws PipelineError where that is no use */
  async #lookFor(lostOnes: Run): Promise<Found | undefined> {
    const planner = this.#planner
    const { signal } = this.#parts
    const found = this.#attempts < MEND_ATTEMPTS ? this.#find(lostOnes) : undefined
    if (found !== undefined) return found
    if (this.#leaveAsked()) return undefined
    if (await planner.lookAround({ signal, attempt: this.#looks++ })) this.#attempts = 0
    else if (!(await this.#pardon())) throw planner.explain(this.#failed.gone, this.#failed.last)
    return undefined
  }

  /** While nobody is there for some layers, whoever asked to be left need not wait: it may be on its way to serve them. */
  #leaveAsked(): boolean {
    const asked = this.#seats.filter(seat => seat.lost === undefined && this.#departures.isAsked(seat))
    for (const seat of asked) this.#leave(seat)
    return asked.length > 0
  }

  /** Other stages for a run that is lost. */
  async #replace({ run, stages }: Found): Promise<void> {
    // Stages around the lost ones that are replaced too give back their room first: it may be needed.
    for (const seat of this.#seats.slice(run.from, run.to)) this.#leave(seat)
    await this.#withFresh(stages, async fresh => {
      await this.#openFresh(run.to)
      this.#seat(run, fresh)
      for (const seat of fresh) seat.filled = this.#parts.rows() === 0
      await this.#feed(run.from)
    })
  }

  /** A stream or an engine that broke is not always a dead node. Whether anybody lives after all. */
  async #pardon(): Promise<boolean> {
    const lives = async (peer: string): Promise<boolean> => {
      const living = await this.#parts.watch.lives(peer)
      if (living) this.#failed.pardon(peer)
      return living
    }
    return (await Promise.all(this.#failed.pardonable.map(lives))).includes(true)
  }

  #find(lostOnes: Run): Found | undefined {
    const failed = this.#failed.current()
    const { layers } = this.#plan
    const findWithout = (exclude: ReadonlySet<string>): Found | undefined =>
      replacementFor(lostOnes, this.#seats, { layers, find: segment => this.#planner.find(segment, exclude) })
    const unwanted = new Set([...failed, ...this.#departures.peers])
    // Whoever asked to be left is better than nobody.
    return findWithout(unwanted) ?? (unwanted.size > failed.size ? findWithout(failed) : undefined)
  }

  /** New stages for as long as `run` takes; where it fails they are closed, wherever they are by then. */
  async #withFresh(stages: readonly SessionStage[], run: (fresh: readonly Seat[]) => Promise<void>): Promise<void> {
    const fresh = stages.map(stage => new Seat(stage, this.#parts.openChannel, this.#handlers))
    this.#fresh = fresh
    try {
      await run(fresh)
    } catch (error) {
      for (const seat of fresh) seat.close(asPipelineError(error))
      throw error
    } finally {
      this.#fresh = []
    }
  }

  /** Opens and links them, the last one to seat `after`. */
  async #openFresh(after: number): Promise<void> {
    const { signal, liveFrom } = this.#parts
    const fresh = this.#fresh
    await Promise.all(fresh.map(async seat => this.#open(seat)))
    const stays = this.#seats[after]
    const link = async (seat: Seat, next: Seat | undefined): Promise<void> => {
      const replay = next === stays ? undefined : this.#replay(next)
      if (next !== undefined) await seat.linkTo(next, { liveFrom: liveFrom(), replay, aside: false }, signal)
    }
    await Promise.all(fresh.map(async (seat, i) => link(seat, fresh[i + 1] ?? stays)))
    if (stays?.lost !== undefined) throw stays.lost
  }

  async #open(seat: Seat): Promise<void> {
    await seat.open(this.#plan, this.#parts.signal)
    const rows = this.#parts.rowsUnderWay()
    if (seat.rowsPerStep >= rows) return
    const what = `it takes ${seat.rowsPerStep} rows in one step, and ${rows} are under way`
    throw lost(seat.stage, new Error(what))
  }

  #seat({ from, to }: Run, fresh: readonly Seat[]): void {
    for (const seat of fresh) seat.since = this.#parts.nextSequence()
    this.#seats.splice(from, to - from, ...fresh)
  }

  /** Has the stage before the new ones, or this node, send what it has sent before. */
  async #feed(first: number): Promise<void> {
    const { feed, liveFrom, signal } = this.#parts
    const [before, seat] = [this.#seats[first - 1], this.#seats[first]]
    if (seat === undefined) throw new RangeError('a route without stages')
    if (before === undefined) {
      feed(seat, { liveFrom: liveFrom(), exact: this.#exact })
      return
    }
    try {
      await before.linkTo(seat, { liveFrom: liveFrom(), replay: this.#replay(seat), aside: false }, signal)
    } catch (error) {
      // It no longer has what it sent: it is made anew with them, and fed from further ahead.
      if (error instanceof ProtocolError && error.code === 'JOURNAL_GONE') this.#leave(before)
      throw error
    }
  }

  get #exact(): boolean {
    return this.#plan.exactReplay ?? false
  }

  /** How what was sent before goes to a new stage; undefined where nothing was. */
  #replay(seat: Seat | undefined): Replay | undefined {
    if (seat === undefined || this.#parts.rows() === 0) return undefined
    return { rowsPerStep: seat.rowsPerStep, exact: this.#exact }
  }

  /** The link from one stage to the next one is gone, and both may live. */
  async #relink(at: number): Promise<void> {
    const { signal, liveFrom, watch } = this.#parts
    const [seat, next] = [this.#seats[at], this.#seats[at + 1]]
    if (seat === undefined || next === undefined) return
    if (!next.stage.local) await watch.ask(next.stage.peer) // tells of a loss by itself
    if (next.lost !== undefined || seat.lost !== undefined) return
    await seat.linkTo(next, { liveFrom: liveFrom(), replay: undefined, aside: false }, signal)
  }

  /** A failed attempt harms nobody: the stage goes on for as long as it does. */
  async #moveOn(seat: Seat): Promise<void> {
    const at = this.#seats.indexOf(seat)
    const run = { from: at, to: at + 1 }
    const exclude = this.#failed.current()
    for (const peer of this.#departures.peers) exclude.add(peer)
    const stages = this.#planner.find(segmentOf(this.#seats, run, this.#plan.layers), exclude)
    if (stages === undefined) {
      this.#departures.later(seat)
      return
    }
    const move = new RouteMove({ ...this.#parts, before: this.#seats[at - 1], exact: this.#exact })
    this.#move = move
    try {
      await this.#withFresh(stages, async fresh => {
        await move.undisturbed(this.#openFresh(run.to))
        await move.fill(fresh)
        await move.take(() => this.#seat(run, fresh))
      })
      this.#pausedSince ??= move.began
      this.#leave(seat)
    } catch (error) {
      this.#parts.signal.throwIfAborted()
      if (error instanceof PipelineError) this.#failed.note(error)
      // What cannot be done beside one that leaves anyway is done with a pause.
      if (error instanceof ProtocolError && this.#departures.isAsked(seat)) this.#leave(seat)
      else this.#departures.later(seat)
    } finally {
      this.#move = undefined
    }
  }

  #disturbed(): void {
    this.#move?.disturb()
    this.#start()
  }

  #onLost(seat: Seat, error: PipelineError): void {
    this.#failed.note(error)
    this.#move?.disturb()
    if (!this.#seats.includes(seat)) return
    if (this.#frail || !isMendable(error)) {
      this.#parts.onFailed(error)
      return
    }
    // Garbage comes from the stage before the one that refuses it.
    const before = this.#seats[this.#seats.indexOf(seat) - 1]
    if (error.details['status'] === 'NOT_FINITE') before?.lose(broken(before.stage, 'it sent NaN or infinity'))
    this.#leave(seat, error)
    this.#start()
  }

  /** Frees a stage, and notes that it is no longer part of the route. */
  #leave(seat: Seat, error?: PipelineError): void {
    if (error === undefined && seat.lost !== undefined) return
    seat.close(error ?? replaced(seat.stage))
    this.#pausedSince ??= this.#parts.now()
    this.#left.push({ stage: seat.stage, reason: error?.message })
    const others = this.#seats.filter(other => other !== seat && other.lost === undefined)
    if (!others.some(({ stage }) => stage.peer === seat.stage.peer)) this.#parts.watch.remove(seat.stage.peer)
  }

  /** @throws PipelineError when it is no use to try again */
  #tryAgain(error: Error): void {
    this.#parts.signal.throwIfAborted()
    if (error instanceof ProtocolError) return
    if (!(error instanceof PipelineError) || !isMendable(error)) throw error
    this.#failed.note(error)
    for (const seat of this.#seats) if (seat.stage.peer === error.details['peer']) seat.lose(error)
    this.#attempts++
  }

  #report(): void {
    const left = this.#left
    const since = this.#pausedSince
    this.#left = []
    this.#pausedSince = undefined
    if (left.length === 0 || since === undefined) return
    this.#parts.onReroute({
      left,
      stages: this.#seats.map(({ stage }) => stage),
      links: this.#seats.map(({ link }) => link),
      replayed: this.#parts.rows(),
      elapsed: this.#parts.now() - since
    })
  }
}
