import { DeadlineError } from '../deadline.js'
import { EXCLUDE_MS } from './constants.js'
import type { PipelineError } from './errors.js'

/** Who failed in a session: left out for a while, or for good. */
export class FailedPeers {
  readonly #now: () => number
  readonly #until = new Map<string, number>()
  readonly #gone = new Set<string>()
  /** Whose stream broke. */
  readonly #cutOff = new Set<string>()
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
    if (isCut(error)) this.#cutOff.add(peer)
    else this.#cutOff.delete(peer)
    this.#until.set(peer, error.code === 'STAGE_FAULTY' ? Infinity : this.#now() + EXCLUDE_MS)
  }

  /** A step was answered. */
  forgive(): void {
    this.#last = undefined
    this.#pardoned.clear()
  }

  /**
   * Whose stream broke a moment ago, and who may be asked again where nobody else is there: each once until a step is
   * answered. Not those that were silent, or said that they go.
   */
  get pardonable(): string[] {
    return [...this.current()].filter(peer => this.#cutOff.has(peer) && !this.#pardoned.has(peer))
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

function isCut({ code, details, cause }: PipelineError): boolean {
  return code === 'STAGE_LOST' && details['status'] === undefined && !(cause instanceof DeadlineError)
}
