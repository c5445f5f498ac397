import { timingSafeEqual } from 'node:crypto'
import { asError } from '../../protocol/errors.js'
import { ProtocolError, type FaultName } from '../../protocol/protocol-error.js'
import type { Fault, Link, NextStage, Open, StageReply } from '../../protocol/stage.js'
import type { Step, Timing } from '../../protocol/step.js'
import { EngineError, type EngineErrorCode } from '../engine/errors.js'
import type { EngineStepResult } from '../engine/types.js'
import { MAX_STEPS_IN_FLIGHT } from './constants.js'
import type { Journal } from './journal.js'
import type { HiddenStateSink, RelayHandlers } from './relay-link.js'
import { NoRoomError } from './room.js'
import type { Lease, ServedShard } from './served-shard.js'
import { StageOutlets } from './stage-outlets.js'

/** What the other side is told when the engine refuses or fails. */
const FAULT_OF_ENGINE: Partial<Record<EngineErrorCode, FaultName>> = {
  BAD_STEP: 'MALFORMED',
  NOT_FINITE: 'NOT_FINITE',
  POSITION_GAP: 'OUT_OF_ORDER',
  CONTEXT_FULL: 'CONTEXT_FULL',
  CANNOT_TRUNCATE: 'UNSUPPORTED',
  LEAVE_DEEPER: 'OUT_OF_ORDER',
  F16_OVERFLOW: 'OUT_OF_RANGE',
  QUEUE_FULL: 'BUSY'
}

/** Only the head has candidates. */
const NOTHING = { rows: 0, candidates: 0, ids: [], logSumExp: false }

export interface StageSessionParts {
  shard: ServedShard
  lease: Lease
  /** Of what this stage sends on; closed by whoever opened it, when the session is over. */
  journal: Journal
  /** To the origin. */
  reply: (reply: StageReply) => void
  openRelay: (next: NextStage, handlers: RelayHandlers) => Promise<HiddenStateSink>
  /** Told once, when the session is over for whatever reason. */
  onEnd: (fault: ProtocolError | undefined) => void
  /** Milliseconds, monotonic. */
  now: () => number
}

/** Who steps come from, if not from the origin: the stage before. */
export interface Feeder {
  /** A replayed step was run. */
  replayed(sequence: number): void
  /** It is not needed any more. */
  close(): void
}

/** A shard's part in one session: takes steps in order, runs them, hands them on. Any fault ends it. */
export class StageSession {
  readonly id: string
  readonly #open: Open
  readonly #parts: StageSessionParts
  readonly #outlets: StageOutlets
  readonly #last: boolean
  #expected = 1
  #length = 0
  /** Positions that were reserved. */
  #context: number
  #inFlight = 0
  #rests = false
  #ended = false
  /** Whose steps came last, and who was admitted after that. */
  #feeder: Feeder | undefined
  #admitted: Feeder | undefined
  /** When something last came or went, for the sweep. */
  active: number

  constructor(parts: StageSessionParts, open: Open) {
    this.#parts = parts
    this.#open = open
    this.id = open.session
    this.#context = open.context
    this.#last = open.leave === parts.shard.facts.layers
    this.active = parts.now()
    const { journal, openRelay } = parts
    const reply = (message: StageReply): void => this.#reply(message)
    this.#outlets = new StageOutlets({ journal, openRelay, reply, fail: error => this.fail(error) })
  }

  /** Nothing is under way, and whoever needs its room may have it. */
  get rests(): boolean {
    return this.#rests
  }

  /** Does this secret allow a relay stream to send into this stage? */
  admits(secret: Uint8Array): boolean {
    return secret.byteLength === this.#open.secret.byteLength && timingSafeEqual(secret, this.#open.secret)
  }

  /** A relay stream may feed this stage; from its first step on the one before it does no longer. */
  admit(feeder: Feeder): void {
    this.#admitted?.close()
    this.#admitted = feeder
  }

  /** Where hidden states go from now on; answers `linked`, or a fault that leaves the session as it was. */
  async link(link: Link): Promise<void> {
    if (this.#ended) return
    this.active = this.#parts.now()
    try {
      this.#requireAwake('link')
      if (this.#last) throw new ProtocolError('MALFORMED', 'the stage with the head has no next stage')
      await this.#outlets.link(link)
    } catch (error) {
      this.fail(error)
    }
  }

  /** The next stage, fed through the origin, has run a replayed step. */
  replayed(): void {
    this.#outlets.replayed()
  }

  /** Another stage should take the place of this one, which leaves in so many milliseconds; nobody need, while it rests. */
  askToMove(milliseconds: number): void {
    if (this.#rests) this.#giveWay({ code: 'LEAVING', message: 'this node leaves' })
    else this.#reply({ type: 'drain', milliseconds })
  }

  /** Its KV stays until it is resumed, unless others need the room. */
  rest(): void {
    if (this.#ended) return
    this.active = this.#parts.now()
    try {
      this.#requireAwake('rest')
      if (this.#inFlight > 0) throw new ProtocolError('OUT_OF_ORDER', `${this.#inFlight} steps are under way`)
      this.#rests = true
      const giveWay = (): void => this.#giveWay({ code: 'BUSY', message: 'others needed the room of this session' })
      this.#parts.lease.rest(this.#length, giveWay)
    } catch (error) {
      this.fail(error)
    }
  }

  /** @param context positions to reserve; what it holds already stays reserved until a step drops it */
  resume(context: number): void {
    if (this.#ended) return
    this.active = this.#parts.now()
    try {
      if (!this.#rests) throw new ProtocolError('OUT_OF_ORDER', 'a session that does not rest cannot be resumed')
      this.#rests = false
      this.#context = context
      this.#parts.lease.resume(Math.max(context, this.#length))
      this.#reply({ type: 'resumed' })
    } catch (error) {
      this.fail(error)
    }
  }

  /** Runs one step; what was seen before is passed over. @param from undefined: the origin */
  receive(step: Step, from?: Feeder): void {
    if (this.#ended) return
    this.#feedBy(from)
    const arrived = (this.active = this.#parts.now())
    // After a loss the stage before sends again what may not have come.
    if (step.replay !== true && step.sequence < this.#expected) return
    try {
      this.#check(step)
    } catch (error) {
      this.fail(error)
      return
    }
    this.#expected = Math.max(this.#expected, step.sequence + 1)
    this.#length = step.position + step.rows
    this.#inFlight++
    this.#run(step, arrived, from).catch((error: unknown) => this.fail(error))
  }

  /** Frees everything. */
  end(): void {
    this.#finish(undefined)
  }

  /** Frees everything and tells the origin why. */
  fail(caught: unknown): void {
    if (this.#ended) return
    const fault = asFault(caught)
    this.#finish(fault)
    this.#parts.reply({ type: 'fault', fault: { code: fault.code, message: fault.message } })
  }

  /** As `fail`, and nobody has done anything wrong. */
  #giveWay(fault: Fault): void {
    if (this.#ended) return
    this.#finish(undefined)
    this.#parts.reply({ type: 'fault', fault })
  }

  #requireAwake(what: string): void {
    if (this.#rests) throw new ProtocolError('OUT_OF_ORDER', `a ${what} while the session rests`)
  }

  #feedBy(from: Feeder | undefined): void {
    if (from === undefined || from === this.#feeder) return
    this.#feeder?.close()
    this.#feeder = from
    if (this.#admitted === from) this.#admitted = undefined
  }

  #check({ sequence, position, rows, input, replay }: Step): void {
    const { start } = this.#parts.shard.facts.range
    this.#requireAwake('step')
    if (replay !== true && sequence !== this.#expected) {
      throw new ProtocolError('OUT_OF_ORDER', `step ${sequence} came where ${this.#expected} was due`)
    }
    if (position > this.#length) {
      throw new ProtocolError('OUT_OF_ORDER', `position ${position} leaves a gap after ${this.#length}`)
    }
    if (position + rows > this.#context) {
      throw new ProtocolError('CONTEXT_FULL', `positions up to ${position + rows}, ${this.#context} were reserved`)
    }
    if (this.#inFlight >= MAX_STEPS_IN_FLIGHT) {
      throw new ProtocolError('BUSY', `${this.#inFlight} steps of this session wait already`)
    }
    if ((input.kind === 'tokens') !== (start === 0)) {
      throw new ProtocolError('MALFORMED', `a stage that starts at layer ${start} cannot run ${input.kind}`)
    }
  }

  async #run(step: Step, arrived: number, from: Feeder | undefined): Promise<void> {
    const { position, rows, want, input } = step
    const { leave, dtype } = this.#open
    const result = await this.#parts.lease.step({
      ...(input.kind === 'tokens' ? { tokens: input.tokens } : { hidden: input }),
      position,
      rows,
      leave,
      dtype,
      want: this.#last ? want : NOTHING
    })
    this.#inFlight--
    if (this.#ended) return
    const now = (this.active = this.#parts.now())
    if (step.replay === true) this.#acknowledge(step, from)
    this.#emit(step, result, { queued: result.queued, computed: result.computed, handled: now - arrived })
  }

  #acknowledge({ sequence }: Step, from: Feeder | undefined): void {
    if (from === undefined) this.#reply({ type: 'replayed', sequence })
    else from.replayed(sequence)
  }

  #emit(step: Step, { hidden, candidates }: EngineStepResult, timing: Timing): void {
    const timings = [...step.timings, timing]
    const { sequence } = step
    if (this.#last) {
      if (step.replay !== true) this.#reply({ type: 'result', result: { sequence, rows: candidates, timings } })
      return
    }
    if (hidden === undefined) throw new ProtocolError('ENGINE_FAILED', 'the engine gave no hidden states')
    const input = { kind: 'hidden' as const, dtype: this.#open.dtype, bytes: hidden }
    this.#parts.journal.append({ ...step, input, timings })
    this.#outlets.pump()
  }

  #reply(reply: StageReply): void {
    if (!this.#ended) this.#parts.reply(reply)
  }

  #finish(fault: ProtocolError | undefined): void {
    if (this.#ended) return
    this.#ended = true
    this.#outlets.close()
    this.#feeder?.close()
    this.#admitted?.close()
    void this.#parts.lease.release()
    this.#parts.onEnd(fault)
  }
}

function asFault(caught: unknown): ProtocolError {
  if (caught instanceof ProtocolError) return caught
  const error = asError(caught)
  if (caught instanceof NoRoomError) return new ProtocolError('BUSY', error.message, { cause: caught })
  const code = caught instanceof EngineError ? (FAULT_OF_ENGINE[caught.code] ?? 'ENGINE_FAILED') : 'INTERNAL'
  return new ProtocolError(code, error.message, { cause: caught })
}
