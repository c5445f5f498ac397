import {
  BAN_MS,
  BAN_SCORE,
  CARELESS_MOST,
  HALF_LIFE_MS,
  LONGEST_BAN_MS,
  MAX_REMEMBERED_PEERS,
  REPEAT_MS,
  WEIGHTS,
  type Intent
} from './constants.js'

interface Score {
  points: number
  /** When they were as many, milliseconds. */
  at: number
}

/** Until when a peer is kept out; a former one where that is over. */
interface Sentence {
  until: number
  /** Bans so far. */
  times: number
}

/** A peer that is kept out now. */
export interface Ban {
  peer: string
  /** Milliseconds that are left. */
  left: number
}

/** What peers have done, and who is banned for it. Scores decay, bans end, and all of it is forgotten on a restart. */
export class Scores {
  readonly #now: () => number
  readonly #most: number
  /** Who was blamed last comes last. */
  readonly #scores = new Map<string, Score>()
  /** Who was banned last comes last. */
  readonly #sentences = new Map<string, Sentence>()

  /** @param now - milliseconds, monotonic */
  constructor({ now }: { now: () => number }, { peers = MAX_REMEMBERED_PEERS }: { peers?: number } = {}) {
    this.#now = now
    this.#most = peers
  }

  /** True when this was one time too many and the peer is banned from now on. */
  blame(peer: string, intent: Intent): boolean {
    if (this.isBanned(peer)) return false
    const before = this.points(peer)
    const added = before + WEIGHTS[intent]
    const points = intent === 'careless' ? Math.max(before, Math.min(added, CARELESS_MOST)) : added
    if (points < BAN_SCORE) {
      remember(this.#scores, { peer, value: { points, at: this.#now() } }, this.#most)
      return false
    }
    this.#scores.delete(peer)
    this.#ban(peer)
    return true
  }

  /** Of the peer, now. */
  points(peer: string): number {
    const score = this.#scores.get(peer)
    return score === undefined ? 0 : score.points * 2 ** ((score.at - this.#now()) / HALF_LIFE_MS)
  }

  isBanned(peer: string): boolean {
    const sentence = this.#sentences.get(peer)
    return sentence !== undefined && sentence.until > this.#now()
  }

  bans(): Ban[] {
    const now = this.#now()
    return [...this.#sentences].map(([peer, { until }]) => ({ peer, left: until - now })).filter(({ left }) => left > 0)
  }

  #ban(peer: string): void {
    const now = this.#now()
    const former = this.#sentences.get(peer)
    const times = former === undefined || former.until + REPEAT_MS < now ? 0 : former.times
    const until = now + Math.min(BAN_MS * 2 ** times, LONGEST_BAN_MS)
    remember(this.#sentences, { peer, value: { until, times: times + 1 } }, this.#most)
  }
}

/** Puts it last, and forgets the first where there are too many. */
function remember<T>(map: Map<string, T>, { peer, value }: { peer: string; value: T }, most: number): void {
  map.delete(peer)
  map.set(peer, value)
  const [first] = map.keys()
  if (map.size > most && first !== undefined) map.delete(first)
}
