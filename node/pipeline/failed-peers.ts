import { DeadlineError } from '../deadline.js'
import { EXCLUDE_MS } from './constants.js'
import type { PipelineError } from './errors.js'

/** Who failed in a session: left out for a while, or for good. */
export class FailedPeers {
  readonly #now: () => number
  readonly #until = new Map<string, number>()
  readonly #gone = new Set<string>()
  /** Whose stream broke, or whose engine did: they may be there again in a moment. */
  readonly #passing = new Set<string>()
  readonly #pardoned = new Set<string>()
  #last: PipelineError | undefined

  /** @param now milliseconds, monotonic. */
  constructor(now: () => number) {
    this.#now = now
  }

  /** Everybody who was lost. */
  get gone(): ReadonlySet<string> {
    return this.#gone
  }

  /** The last failure, until a step is answered. */
  get last(): PipelineError | undefined {
    return this.#last
  }

  /** Whoever broke the protocol is not chosen again in this session. */
  note(error: PipelineError): void {
    const { peer } = error.details
    if (typeof peer !== 'string') return
    this.#last = error
    if (error.code === 'STAGE_LOST') this.#gone.add(peer)
    if (isPassing(error)) this.#passing.add(peer)
    else this.#passing.delete(peer)
    this.#until.set(peer, error.code === 'STAGE_FAULTY' ? Infinity : this.#now() + EXCLUDE_MS)
  }

  /** A step was answered. */
  forgive(): void {
    this.#last = undefined
    this.#pardoned.clear()
  }

  /**
   * Who failed a moment ago, and may be asked again where nobody else is there: each once until a step is answered. Not
   * those that were silent, or said that they go.
   */
  get pardonable(): string[] {
    return [...this.current()].filter(peer => this.#passing.has(peer) && !this.#pardoned.has(peer))
  }

  /** It lives after all. */
  pardon(peer: string): void {
    this.#until.delete(peer)
    this.#pardoned.add(peer)
  }

  /** Who is not to be chosen now. */
  current(): Set<string> {
    const now = this.#now()
    return new Set([...this.#until].flatMap(([peer, until]) => (until > now ? [peer] : [])))
  }
}

/** A stream broke, or an engine died: a node has its next one within a second. */
function isPassing({ code, details: { status }, cause }: PipelineError): boolean {
  if (code !== 'STAGE_LOST' || cause instanceof DeadlineError) return false
  return status === undefined || status === 'ENGINE_FAILED'
}
