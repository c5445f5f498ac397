import { Admission } from './admission.js'
import { UnsentBytes, WaitingBytes } from './bytes.js'
import type { Service } from './constants.js'
import { INTENTS, type Reason } from './reasons.js'
import { Scores, type Ban } from './scores.js'

interface TrustParts {
  /** Milliseconds, monotonic. */
  now?: () => number
  warn?: ((facts: object, message: string) => void) | undefined
}

/**
 * What this node thinks of its peers: counts what was refused, keeps each peer within its limits, scores those who
 * break rules and bans them for a while. Dispatches `ban`, a CustomEvent with the peer.
 */
export class Trust extends EventTarget {
  readonly waiting = new WaitingBytes()
  readonly unsent = new UnsentBytes()
  readonly #admission: Admission
  readonly #scores: Scores
  readonly #warn: TrustParts['warn']
  readonly #self: string | undefined
  readonly #counts = new Map<Reason, number>()

  /** @param self - this node's own peer id, which is never limited */
  constructor({ now = () => performance.now(), warn }: TrustParts = {}, { self }: { self?: string } = {}) {
    super()
    this.#admission = new Admission({ now })
    this.#scores = new Scores({ now })
    this.#warn = warn
    this.#self = self
  }

  /** Refusals since the start, by reason. */
  get refused(): Readonly<Record<string, number>> {
    return Object.fromEntries(this.#counts)
  }

  /** A place for one stream of a peer, to be disposed of with it; undefined where that is one too many: counted. */
  enter(peer: string, service: Service): Disposable | undefined {
    const place = this.#admission.enter(peer, service)
    if (place === undefined) this.refuse('TOO_MANY', peer)
    return place
  }

  /**
   * Counts a refusal.
   * @param culprit - the peer that alone can have caused it: what one peer can make another one do blames nobody
   */
  refuse(reason: Reason, culprit?: string): void {
    this.#counts.set(reason, (this.#counts.get(reason) ?? 0) + 1)
    this.blame(reason, culprit)
  }

  /** The same for what is counted elsewhere. */
  blame(reason: Reason, culprit: string | undefined): void {
    const intent = INTENTS[reason]
    if (culprit === undefined || culprit === this.#self || intent === undefined) return
    if (!this.#scores.blame(culprit, intent)) return
    this.#warn?.({ peer: culprit, reason }, 'a peer broke the rules too often and is banned for a while')
    this.refuse('BANNED')
    this.dispatchEvent(new CustomEvent('ban', { detail: culprit }))
  }

  isBanned(peer: string): boolean {
    return this.#scores.isBanned(peer)
  }

  /** Who is kept out now. */
  bans(): Ban[] {
    return this.#scores.bans()
  }
}
