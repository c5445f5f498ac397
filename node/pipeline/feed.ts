import type { Replay } from '../../protocol/stage.js'
import type { Step, StepInput } from '../../protocol/step.js'
import { REPLAY_STEPS_IN_FLIGHT } from './constants.js'
import type { Journal } from './journal.js'

export interface FeedParts {
  journal: Journal
  /** To the next stage. */
  send: (step: Step) => void
  /** Called once: everything that was to be replayed was run by the next stage. */
  onCaughtUp?: () => void
  /** Called once: the journal was dropped before all of it was sent. */
  onGone?: () => void
}

export interface FeedSettings {
  /** Steps from this sequence number on are sent as steps, unless they came as replays themselves. */
  liveFrom: number
  /** How the others are sent; undefined: they are not. */
  replay: Replay | undefined
}

const WANT_NOTHING = { rows: 0, candidates: 0, ids: [], logSumExp: false }

/** What goes from a journal to one next stage: what it has missed first, a few steps at a time, then what comes. */
export class Feed {
  readonly #parts: FeedParts
  readonly #replay: Replay | undefined
  #liveFrom: number
  /** Number of the next step in the journal, and of its first row that was not sent. */
  #at: number
  #row = 0
  #unanswered = 0
  /** Everything that there was has been replayed, and `onCaughtUp` was told. */
  #caughtUp: boolean
  #over = false

  constructor(parts: FeedParts, { liveFrom, replay }: FeedSettings) {
    this.#parts = parts
    this.#replay = replay
    this.#liveFrom = liveFrom
    this.#at = parts.journal.first
    this.#caughtUp = replay === undefined
  }

  /** What was replayed so far is so; from this sequence number on steps are sent as steps. */
  goLive(liveFrom: number): void {
    this.#liveFrom = liveFrom
    this.pump()
  }

  /** The next stage has run a replayed step. */
  replayed(): void {
    if (this.#unanswered === 0) return
    this.#unanswered--
    this.pump()
  }

  /** Sends what may be sent now. */
  pump(): void {
    const { journal } = this.#parts
    if (this.#over) return
    if (this.#at < journal.first) {
      this.#over = true
      this.#parts.onGone?.()
      return
    }
    while (this.#sendNext());
    this.#lookWhetherCaughtUp()
  }

  stop(): void {
    this.#over = true
  }

  /** Whether there was something that could be sent. */
  #sendNext(): boolean {
    const step = this.#over ? undefined : this.#parts.journal.at(this.#at)
    if (step === undefined) return false
    if (this.#isLive(step)) {
      this.#at++
      this.#parts.send(step)
      return true
    }
    if (this.#replay === undefined) {
      this.#at++
      return true
    }
    if (this.#unanswered >= REPLAY_STEPS_IN_FLIGHT) return false
    this.#unanswered++
    this.#parts.send(this.#nextReplay(step, this.#replay))
    return true
  }

  #isLive({ sequence, replay }: Step): boolean {
    return replay !== true && sequence >= this.#liveFrom
  }

  /** The next rows as one step: of one step of the journal, or of several that follow each other. */
  #nextReplay(first: Step, { rowsPerStep, exact }: Replay): Step {
    const position = first.position + this.#row
    const parts: StepInput[] = []
    let { sequence } = first
    let rows = 0
    for (let step: Step | undefined = first; step !== undefined && rows < rowsPerStep;) {
      if (step.position + this.#row !== position + rows || this.#isLive(step)) break
      const taken = Math.min(step.rows - this.#row, rowsPerStep - rows)
      parts.push(rowsOf(step, this.#row, taken))
      rows += taken
      sequence = step.sequence
      this.#row += taken
      if (this.#row < step.rows) break
      this.#row = 0
      this.#at++
      step = exact ? undefined : this.#parts.journal.at(this.#at)
    }
    return { sequence, position, rows, input: joined(parts), want: WANT_NOTHING, timings: [], replay: true }
  }

  #lookWhetherCaughtUp(): void {
    if (this.#caughtUp || this.#unanswered > 0 || this.#at < this.#parts.journal.end) return
    this.#caughtUp = true
    this.#parts.onCaughtUp?.()
  }
}

function rowsOf({ input, rows }: Step, first: number, count: number): StepInput {
  if (count === rows) return input
  if (input.kind === 'tokens') return { kind: 'tokens', tokens: input.tokens.subarray(first, first + count) }
  const width = input.bytes.byteLength / rows
  return { ...input, bytes: input.bytes.subarray(first * width, (first + count) * width) }
}

/** All of one kind: a stage sends nothing else. */
function joined(parts: readonly StepInput[]): StepInput {
  const [first] = parts
  if (first === undefined) throw new RangeError('a replay of no rows')
  if (parts.length === 1) return first
  if (first.kind === 'tokens') {
    return {
      kind: 'tokens',
      tokens: Uint32Array.from(parts.flatMap(part => (part.kind === 'tokens' ? [...part.tokens] : [])))
    }
  }
  return { ...first, bytes: Buffer.concat(parts.flatMap(part => (part.kind === 'hidden' ? [part.bytes] : []))) }
}
