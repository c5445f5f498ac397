import { EngineError } from '../engine/errors.js'
import type { LayerRange } from '../models/types.js'
import { WaitingBytes } from '../trust/bytes.js'
import { Pace } from './pace.js'
import { Room, type Place } from './room.js'
import type { DecodeSize, Engine, EngineStep, EngineStepResult, LoadedShard, Want } from '../engine/types.js'

/** Weight of the newest step in the average of how many wait. */
const NEWEST = 0.1
/** Single-token steps that measure a shard's speed once it is loaded; the first ones warm caches and do not count. */
const CALIBRATION_STEPS = 8
const WARM_UP_STEPS = 2
const NOTHING: Want = { rows: 0, candidates: 0, ids: [], logSumExp: false }
/** What a greedy answer asks of the last stage. */
const A_TOKEN: Want = { ...NOTHING, rows: 1, candidates: 1 }

export type LeasedStep = Omit<EngineStep, 'shard' | 'sequence'>

/** A sequence of the shard's context, held by one session until it is released. */
export interface Lease {
  step(step: LeasedStep): Promise<EngineStepResult>
  /**
   * No step is under way and none comes until it is resumed: it holds so many positions, and gives way to whoever needs
   * its room.
   * @param giveWay has to release it at once
   */
  rest(context: number, giveWay: () => void): void
  /** Steps come again, within so many positions. @throws NoRoomError */
  resume(context: number): void
  /** Resolves once the sequence is empty and its room is free again. Idempotent. */
  release(): Promise<void>
}

/** A step that has run for a session. */
export interface ServedStep {
  rows: number
  /** Milliseconds, as `EngineStepResult` has them. */
  queued: number
  computed: number
  /** Of the decode that it was a part of, where no other step has it. */
  decode?: DecodeSize
  /** Of this node's owner. */
  own: boolean
}

export interface ServedShardParts {
  engine: Engine
  /** Shared by the shards of a node. */
  waiting?: WaitingBytes
  /** Told of each step of a session; those that measure the shard are nobody's. */
  onStep?: (step: ServedStep) => void
  /** Milliseconds, monotonic. */
  now?: () => number
}

export interface ServedShardFacts {
  /** Manifest hash, hex. */
  manifest: string
  range: LayerRange
  /** Layers of the whole model. */
  layers: number
  loaded: LoadedShard
}

/** A loaded shard that takes sessions: which sequences and how much KV are free, and how fast it has been lately. */
export class ServedShard {
  readonly facts: ServedShardFacts
  readonly #engine: Engine
  readonly #waiting: WaitingBytes
  readonly #room: Room
  readonly #pace: Pace
  readonly #onStep: (step: ServedStep) => void
  #queue = 0
  #isTrial = false
  #idle: PromiseWithResolvers<undefined> | undefined

  constructor(
    { engine, waiting = new WaitingBytes(), onStep = () => undefined, now = () => performance.now() }: ServedShardParts,
    facts: ServedShardFacts
  ) {
    this.#engine = engine
    this.#waiting = waiting
    this.#room = new Room(facts.loaded, { now })
    this.#pace = new Pace({ now })
    this.#onStep = onStep
    this.facts = facts
  }

  /** Under way: those that rest are not. */
  get sessions(): number {
    return this.#room.sessions
  }

  /** Resolves when it has no session. */
  async idle(): Promise<void> {
    if (this.sessions > 0) await (this.#idle ??= Promise.withResolvers<undefined>()).promise
  }

  /** Those that rest are as good as free. */
  get freeSessions(): number {
    return this.#room.freeSessions
  }

  /** Positions. */
  get freeContext(): number {
    return this.#room.freeContext
  }

  /** For one token, as measured lately. */
  get secondsPerLayer(): number {
    return this.#pace.lately
  }

  /** The same without the load of the moment: what places are chosen by. */
  get steadySecondsPerLayer(): number {
    return this.#pace.steady
  }

  /** Steps that a new one finds in front of it, on average; nothing waits on an idle shard, however busy it was. */
  get queue(): number {
    return this.sessions === 0 ? 0 : this.#queue
  }

  /**
   * Throws `NoRoomError` where no sequence or not enough KV is free for the peer.
   * @param peer - whose session it is; undefined for one of this node's owner, which is not limited
   */
  reserve(context: number, peer?: string): Lease {
    return this.#lease(this.#room.enter(context, peer), peer)
  }

  /**
   * Measures the speed of the idle shard with a few single-token steps; with the head, which has to be computed for every
   * token, once more: that is what a token takes here, and the layers alone are what places are chosen by.
   */
  async calibrate(): Promise<void> {
    const { range, layers } = this.facts
    const steady = await this.#trial(NOTHING)
    const lately = range.end === layers ? await this.#trial(A_TOKEN) : steady
    this.#pace.calibrated(steady, lately)
    this.#queue = 0
  }

  /** Seconds of a step, for each layer. */
  async #trial(want: Want): Promise<number> {
    const lease = this.reserve(CALIBRATION_STEPS)
    const times: number[] = []
    this.#isTrial = true
    try {
      for (let position = 0; position < CALIBRATION_STEPS; position++) {
        const { computed } = await lease.step({ ...this.#trialStep(position), want })
        if (position >= WARM_UP_STEPS) times.push(computed)
      }
    } finally {
      this.#isTrial = false
      await lease.release()
    }
    const { range } = this.facts
    const median = times.sort((a, b) => a - b)[times.length >> 1] ?? 0
    return median / 1_000 / (range.end - range.start)
  }

  #trialStep(position: number): Omit<LeasedStep, 'want'> {
    const { range, loaded } = this.facts
    const hidden = (): Uint8Array => new Uint8Array(new Float32Array(loaded.width).fill(1 / loaded.width).buffer)
    return {
      ...(range.start === 0 ? { tokens: new Uint32Array(1) } : { hidden: { dtype: 'f32', bytes: hidden() } }),
      position,
      rows: 1,
      leave: range.end,
      dtype: 'f16'
    }
  }

  #lease(place: Place, peer: string | undefined): Lease {
    const shard = this.facts.loaded.id
    const { sequence } = place
    let pending = 0
    let released = false
    const freed = Promise.withResolvers<undefined>()
    // The engine takes calls in their order, so the next holder of this sequence finds nothing of this one.
    const free = async (): Promise<void> => {
      const emptied = this.#engine.release(shard, sequence)
      place.leave()
      await emptied.catch(() => undefined) // an engine that died has forgotten it anyway
      freed.resolve(undefined)
      this.#lookWhetherIdle()
    }
    const requireHeld = (): void => {
      if (released) throw new EngineError('RELEASED', 'the session gave its sequence back')
    }
    return {
      step: async step => {
        requireHeld()
        using waits = peer === undefined ? undefined : this.#waiting.enter(peer, bytesOf(step))
        if (peer !== undefined && waits === undefined) {
          throw new EngineError('QUEUE_FULL', 'too many bytes of steps of this peer wait already')
        }
        pending++
        try {
          const result = await this.#engine.step({ ...step, shard, sequence })
          this.#measure(step, result)
          if (!this.#isTrial) this.#onStep({ rows: step.rows, ...timesOf(result), own: peer === undefined })
          return result
        } finally {
          if (--pending === 0 && released) void free()
        }
      },
      rest: (context, giveWay) => {
        requireHeld()
        place.rest(context, giveWay)
        this.#lookWhetherIdle()
      },
      resume: context => {
        requireHeld()
        place.resume(context)
      },
      release: () => {
        if (!released && pending === 0) void free()
        released = true
        return freed.promise
      }
    }
  }

  #lookWhetherIdle(): void {
    if (this.sessions > 0) return
    this.#idle?.resolve(undefined)
    this.#idle = undefined
  }

  #measure({ rows, leave }: LeasedStep, { queued, computed }: EngineStepResult): void {
    if (computed > 0) this.#queue += NEWEST * (queued / computed - this.#queue)
    if (rows !== 1) return
    this.#pace.measured(computed / 1_000 / (leave - this.facts.range.start))
  }
}

function timesOf({ queued, computed, decode }: EngineStepResult): Pick<ServedStep, 'queued' | 'computed' | 'decode'> {
  return { queued, computed, ...(decode && { decode }) }
}

/** What a step weighs while it waits. */
function bytesOf({ tokens, hidden }: LeasedStep): number {
  return (tokens?.byteLength ?? 0) + (hidden?.bytes.byteLength ?? 0)
}
