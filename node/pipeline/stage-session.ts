import { timingSafeEqual } from 'node:crypto'
import { asError } from '../../protocol/errors.js'
import { ProtocolError, type FaultName } from '../../protocol/protocol-error.js'
import type { NextStage, Open, StageReply } from '../../protocol/stage.js'
import type { Step, Timing } from '../../protocol/step.js'
import { EngineError, type EngineErrorCode } from '../engine/errors.js'
import type { EngineStepResult } from '../engine/types.js'
import { MAX_STEPS_IN_FLIGHT } from './constants.js'
import type { HiddenStateSink } from './relay-link.js'
import type { Lease, ServedShard } from './served-shard.js'

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
  /** To the origin. */
  reply: (reply: StageReply) => void
  openRelay: (next: NextStage, onLost: (error: Error) => void) => Promise<HiddenStateSink>
  /** Told once, when the session is over for whatever reason. */
  onEnd: (fault: ProtocolError | undefined) => void
  /** Milliseconds, monotonic. */
  now: () => number
}

/** A shard's part in one session: takes steps in order, runs them, hands them on. Any fault ends it. */
export class StageSession {
  readonly id: string
  readonly #open: Open
  readonly #parts: StageSessionParts
  readonly #last: boolean
  #next: HiddenStateSink | undefined
  #expected = 1
  #length = 0
  #inFlight = 0
  #linking = false
  #ended = false
  #feed: (() => void) | undefined
  /** When something last came or went, for the sweep. */
  active: number

  constructor(parts: StageSessionParts, open: Open) {
    this.#parts = parts
    this.#open = open
    this.id = open.session
    this.#last = open.leave === parts.shard.facts.layers
    this.active = parts.now()
  }

  get ended(): boolean {
    return this.#ended
  }

  /** Does this secret allow a relay stream to send into this stage? */
  admits(secret: Uint8Array): boolean {
    return secret.byteLength === this.#open.secret.byteLength && timingSafeEqual(secret, this.#open.secret)
  }

  /** A relay stream feeds this stage from now on, the one before it no longer; `close` is called when it is not needed. */
  fedBy(close: () => void): void {
    this.#feed?.()
    this.#feed = close
  }

  /** Where hidden states go from now on; answers `linked`, or a fault that leaves the session without a next stage. */
  async link(next: NextStage | 'origin'): Promise<void> {
    if (this.ended) return
    this.active = this.#parts.now()
    try {
      this.#checkLink()
    } catch (error) {
      this.fail(error)
      return
    }
    this.#next?.close()
    this.#next = undefined
    this.#linking = true
    try {
      const sink = next === 'origin' ? this.#throughOrigin() : await this.#parts.openRelay(next, this.#nextLost)
      if (this.#ended) sink.close()
      else this.#next = sink
      this.#reply({ type: 'linked' })
    } catch (error) {
      this.#reply({ type: 'fault', fault: { code: 'UNREACHABLE', message: asError(error).message } })
    } finally {
      this.#linking = false
    }
  }

  /** Runs one step; whoever sent it may be the origin or the stage before. */
  receive(step: Step): void {
    if (this.#ended) return
    const arrived = (this.active = this.#parts.now())
    try {
      this.#check(step)
    } catch (error) {
      this.fail(error)
      return
    }
    this.#expected++
    this.#length = step.position + step.rows
    this.#inFlight++
    this.#run(step, arrived).catch((error: unknown) => this.fail(error))
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

  #checkLink(): void {
    if (this.#last) throw new ProtocolError('MALFORMED', 'the stage with the head has no next stage')
    if (this.#linking) throw new ProtocolError('OUT_OF_ORDER', 'a link came before the one before it was answered')
  }

  #check({ sequence, position, rows, input }: Step): void {
    const { start } = this.#parts.shard.facts.range
    if (sequence !== this.#expected) {
      throw new ProtocolError('OUT_OF_ORDER', `step ${sequence} came where ${this.#expected} was due`)
    }
    if (position > this.#length) {
      throw new ProtocolError('OUT_OF_ORDER', `position ${position} leaves a gap after ${this.#length}`)
    }
    if (position + rows > this.#open.context) {
      throw new ProtocolError('CONTEXT_FULL', `positions up to ${position + rows}, ${this.#open.context} were reserved`)
    }
    if (this.#inFlight >= MAX_STEPS_IN_FLIGHT) {
      throw new ProtocolError('BUSY', `${this.#inFlight} steps of this session wait already`)
    }
    if ((input.kind === 'tokens') !== (start === 0)) {
      throw new ProtocolError('MALFORMED', `a stage that starts at layer ${start} cannot run ${input.kind}`)
    }
    if (!this.#last && this.#next === undefined) {
      throw new ProtocolError('OUT_OF_ORDER', 'a step came before this stage was told where to send its results')
    }
  }

  async #run(step: Step, arrived: number): Promise<void> {
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
    this.#emit(step, result, { queued: result.queued, computed: result.computed, handled: now - arrived })
  }

  #emit(step: Step, { hidden, candidates }: EngineStepResult, timing: Timing): void {
    const timings = [...step.timings, timing]
    const { sequence } = step
    if (this.#last) {
      this.#reply({ type: 'result', result: { sequence, rows: candidates, timings } })
      return
    }
    if (hidden === undefined) throw new ProtocolError('ENGINE_FAILED', 'the engine gave no hidden states')
    if (this.#next === undefined) throw new ProtocolError('OUT_OF_ORDER', 'a link came while a step was under way')
    this.#forward(this.#next, { ...step, input: { kind: 'hidden', dtype: this.#open.dtype, bytes: hidden }, timings })
  }

  #forward(next: HiddenStateSink, step: Step): void {
    try {
      next.send(step)
    } catch (error) {
      if (error instanceof ProtocolError) throw error
      this.#nextLost(asError(error))
    }
  }

  #throughOrigin(): HiddenStateSink {
    return { send: step => this.#reply({ type: 'forward', step }), close: () => undefined }
  }

  readonly #nextLost = (error: Error): void => {
    this.fail(new ProtocolError('STAGE_LOST', `the next stage is gone: ${error.message}`, { cause: error }))
  }

  #reply(reply: StageReply): void {
    if (!this.#ended) this.#parts.reply(reply)
  }

  #finish(fault: ProtocolError | undefined): void {
    if (this.#ended) return
    this.#ended = true
    this.#next?.close()
    this.#feed?.()
    void this.#parts.lease.release()
    this.#parts.onEnd(fault)
  }
}

function asFault(caught: unknown): ProtocolError {
  if (caught instanceof ProtocolError) return caught
  const error = asError(caught)
  const code = caught instanceof EngineError ? (FAULT_OF_ENGINE[caught.code] ?? 'ENGINE_FAILED') : 'INTERNAL'
  return new ProtocolError(code, error.message, { cause: caught })
}
