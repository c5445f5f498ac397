import { isDeepStrictEqual } from 'node:util'
import { asError } from '../../protocol/errors.js'
import { abortable, deadline, delay } from '../deadline.js'
import type { Engine } from '../engine/types.js'
import type { Logger } from '../logger.js'
import { LOOK_MS, PAUSE_DRAIN_MS, RESTORE_RETRY_MS } from './constants.js'
import type { Load } from './load.js'
import { hoursAt, type HoursRule } from './schedule.js'
import { after, SERVING, viewOf, type Situation, type SituationEvent } from './situation.js'
import type { AvailabilityState, AvailabilityView, Drainable, Suspendable } from './types.js'
import { NOT_YIELDING, yieldingAfter } from './yielding.js'

const PAUSED = 'this node is paused by its owner'
const SHUTTING_DOWN = 'this node is shutting down'

export interface AvailabilityParts {
  host: Drainable
  holdings: Suspendable
  engine: Pick<Engine, 'state' | 'start' | 'stop'>
  /** What others use of the machine; absent where the node does not yield to them. */
  load: Pick<Load, 'measure'> | undefined
  /** Milliseconds since 1970. */
  now: () => number
  logger: Pick<Logger, 'info' | 'warn'>
}

export interface AvailabilitySettings {
  /** When the node serves; none: always. */
  hours: readonly HoursRule[]
}

/**
 * When this node serves. Looks at the clock and the machine, hears the owner, and makes it so: drains sessions, gives
 * the memory back, and takes it again. Dispatches `change`.
 */
export class Availability extends EventTarget {
  readonly #parts: AvailabilityParts
  readonly #settings: AvailabilitySettings
  #situation: Situation = SERVING
  #yielding = NOT_YIELDING
  #timer: NodeJS.Timeout | undefined
  #looking = false
  /** What is being done about the situation, one thing after another, and the end of the last one. */
  #work: Promise<void> = Promise.resolve()
  #controller = new AbortController()
  #leaving: Promise<void> | undefined

  constructor(parts: AvailabilityParts, settings: AvailabilitySettings) {
    super()
    this.#parts = parts
    this.#settings = settings
  }

  get state(): AvailabilityState {
    return this.#situation.state
  }

  get view(): AvailabilityView {
    return viewOf(this.#situation)
  }

  /** Looks at the schedule at once: outside of its hours nothing is loaded. */
  start(): void {
    this.#observe()
    this.#timer = setInterval(() => void this.look(), LOOK_MS).unref()
  }

  stop(): void {
    clearInterval(this.#timer)
    this.#controller.abort(new Error(SHUTTING_DOWN))
  }

  /** @param milliseconds until it serves again by itself; undefined: when the owner resumes. */
  pause(milliseconds?: number): void {
    this.#apply({ type: 'pause', until: milliseconds === undefined ? undefined : this.#parts.now() + milliseconds })
  }

  /** Lifts the owner's pause; where they gave none, overrules what else pauses the node until that changes. */
  resume(): void {
    this.#apply({ type: 'resume' })
  }

  /**
   * No sessions from now on, for good; resolves when none is left, or `deadlineMs` after the call at the latest. Of
   * several calls the one whose time is over first counts.
   */
  async leave({ deadlineMs }: { deadlineMs: number }): Promise<void> {
    this.#leaving ??= this.#startLeaving(deadlineMs)
    using limit = deadline('leaving', deadlineMs)
    try {
      await abortable(this.#leaving, limit.signal)
    } catch {
      this.#controller.abort(new Error(SHUTTING_DOWN)) // the time is over for the other calls, too
    }
  }

  /** Clock, schedule and load. Called every few seconds. */
  async look(): Promise<void> {
    if (this.#looking) return
    this.#looking = true
    try {
      const { load } = this.#parts
      if (load !== undefined) {
        this.#yielding = yieldingAfter(this.#yielding, performance.now(), await load.measure())
      }
    } finally {
      this.#looking = false
    }
    this.#observe()
  }

  #observe(): void {
    const now = this.#parts.now()
    const hours = hoursAt(this.#settings.hours, new Date(now))
    this.#apply({ type: 'observed', now, hours, busy: this.#yielding.busy })
  }

  #apply(event: SituationEvent): void {
    const before = this.#situation
    this.#situation = after(before, event)
    const { view } = this
    if (isDeepStrictEqual(view, viewOf(before))) return
    if (view.state !== before.state) {
      this.#parts.logger.info({ state: view.state, why: view.pauses.map(({ reason }) => reason) }, 'availability')
      this.#enter(view.state)
    }
    this.dispatchEvent(new Event('change'))
  }

  #enter(state: AvailabilityState): void {
    if (state === 'draining') void this.#do(async signal => this.#giveBack(signal))
    if (state === 'online') void this.#do(async signal => this.#serve(signal))
  }

  /** What was begun for the situation before is given up. */
  #do(work: (signal: AbortSignal) => Promise<void>): Promise<void> {
    this.#controller.abort(new Error('the situation has changed'))
    const { signal } = (this.#controller = new AbortController())
    this.#work = this.#work
      .then(async () => (signal.aborted ? undefined : work(signal)))
      .catch((error: unknown) => {
        if (signal.aborted) return
        this.#parts.logger.warn({ reason: asError(error).message }, 'the availability could not be changed')
      })
    return this.#work
  }

  async #giveBack(signal: AbortSignal): Promise<void> {
    const { host, holdings, engine } = this.#parts
    const { left } = await host.drain({ deadlineMs: PAUSE_DRAIN_MS, why: PAUSED, signal })
    if (signal.aborted) return
    if (left > 0) host.evict(PAUSED)
    await holdings.suspend()
    // Not only the shards: libraries and the context of a GPU take hundreds of megabytes, too.
    await engine.stop()
    this.#apply({ type: 'drained' })
  }

  async #serve(signal: AbortSignal): Promise<void> {
    await this.#startEngine(signal)
    this.#parts.host.reopen()
    this.#parts.holdings.restore()
  }

  /** One that restarts comes by itself. */
  async #startEngine(signal: AbortSignal): Promise<void> {
    const { engine, logger } = this.#parts
    while (engine.state === 'stopped' || engine.state === 'starting') {
      try {
        await engine.start({ signal })
      } catch (error) {
        signal.throwIfAborted()
        logger.warn({ reason: asError(error).message }, 'the engine does not start after a pause; it is tried again')
        await delay(RESTORE_RETRY_MS, signal)
      }
    }
    signal.throwIfAborted()
  }

  #startLeaving(deadlineMs: number): Promise<void> {
    this.#apply({ type: 'leave' })
    const { host } = this.#parts
    return this.#do(async signal => {
      await host.drain({ deadlineMs, why: SHUTTING_DOWN, signal })
    })
  }
}
