import { KEPT_MS, LEAST_KEPT_TOKENS, LEAST_SHARED, MAX_KEPT } from './constants.js'
import type { RingSession } from './ring-session.js'

/** A session whose answer is over, with what its stages hold. */
export interface KeptSession {
  /** Only those who ask for the same may have it: the same model, on behalf of the same caller. */
  key: string
  session: Pick<RingSession, 'isOpen' | 'close'>
  /** One for each position. */
  tokens: Uint32Array
}

/** Sessions that wait for the next turn of their conversation: few, for a while, the least recently used gone first. */
export class KeptSessions<K extends KeptSession = KeptSession> {
  readonly #most: number
  readonly #milliseconds: number
  readonly #least: number
  /** The least recently used first. */
  readonly #kept = new Map<K, NodeJS.Timeout>()

  /** @param least - tokens that a prompt and what is kept must share */
  constructor({ most = MAX_KEPT, milliseconds = KEPT_MS, least = LEAST_KEPT_TOKENS } = {}) {
    this.#most = most
    this.#milliseconds = milliseconds
    this.#least = least
  }

  get size(): number {
    return this.#kept.size
  }

  /** Closed at once where it is too short for any prompt. */
  keep(kept: K): void {
    if (kept.tokens.length < this.#least) {
      kept.session.close()
      return
    }
    this.#kept.set(kept, setTimeout(() => this.#drop(kept), this.#milliseconds).unref())
    for (const oldest of [...this.#kept.keys()].slice(0, -this.#most)) this.#drop(oldest)
  }

  /**
   * The one that has the most of this prompt, where that is enough of it; it is not kept any more. `shared` is how many
   * tokens of the prompt it has, its last one never counted: that one's step is what has candidates for the next.
   */
  take(key: string, prompt: Uint32Array): { kept: K; shared: number } | undefined {
    for (const kept of this.#kept.keys()) if (!kept.session.isOpen) this.#drop(kept)
    const [best] = [...this.#kept.keys()]
      .filter(kept => kept.key === key)
      .map(kept => ({ kept, shared: Math.min(sharedLength(kept.tokens, prompt), prompt.length - 1) }))
      .sort((a, b) => b.shared - a.shared)
    if (best === undefined || best.shared < this.#leastShared(best.kept.tokens, prompt)) return undefined
    clearTimeout(this.#kept.get(best.kept))
    this.#kept.delete(best.kept)
    return best
  }

  stop(): void {
    for (const kept of this.#kept.keys()) this.#drop(kept)
  }

  /** Whoever has nothing but the beginning of a prompt loses nothing by it. */
  #leastShared(kept: Uint32Array, prompt: Uint32Array): number {
    return Math.max(this.#least, LEAST_SHARED * Math.min(kept.length, prompt.length))
  }

  #drop(kept: K): void {
    clearTimeout(this.#kept.get(kept))
    this.#kept.delete(kept)
    kept.session.close()
  }
}

/** How many tokens both begin with. */
export function sharedLength(a: Uint32Array, b: Uint32Array): number {
  const most = Math.min(a.length, b.length)
  for (let i = 0; i < most; i++) if (a[i] !== b[i]) return i
  return most
}
