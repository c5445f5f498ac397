/** Weight of the newest measurement in the running average. */
const NEWEST = 0.1
/** Running averages within this factor of the steady speed are taken as the same speed ... */
const SAME = 1.25
/** ... and others once they have lasted for so long. */
const LASTING_MS = 3_600_000

/**
 * How fast a shard is, seconds for one layer and one token. Lately, which is what a token takes that passes now; and
 * steadily, which is what places are chosen by: to move layers for the load of a moment, or for what a measurement is off
 * by, would cost more than it gains, and a move that is worked out twice would seldom be the same one.
 */
export class Pace {
  readonly #now: () => number
  #lately = 0
  #steady = 0
  /** What the layers alone take of a token, as calibrated. */
  #layersShare = 1
  /** When the running average was last about as it is steadily, milliseconds. */
  #sameAt = 0

  /** @param now - milliseconds, monotonic */
  constructor({ now }: { now: () => number }) {
    this.#now = now
  }

  /** 0 as long as nothing was measured. */
  get lately(): number {
    return this.#lately
  }

  /** 0 as long as nothing was measured. */
  get steady(): number {
    return this.#steady
  }

  /**
   * Measured while nothing else was done.
   * @param lately - where a token takes more than the layers, such as the head; the steady speed is that of the layers
   */
  calibrated(seconds: number, lately = seconds): void {
    this.#lately = lately
    this.#layersShare = lately > 0 ? seconds / lately : 1
    this.#settle()
  }

  /** Measured with one step. */
  measured(seconds: number): void {
    if (this.#lately === 0) this.calibrated(seconds)
    this.#lately += NEWEST * (seconds - this.#lately)
    const layers = this.#lately * this.#layersShare
    const isSame = layers < this.#steady * SAME && this.#steady < layers * SAME
    if (isSame) this.#sameAt = this.#now()
    else if (this.#now() - this.#sameAt >= LASTING_MS) this.#settle()
  }

  #settle(): void {
    this.#steady = this.#lately * this.#layersShare
    this.#sameAt = this.#now()
  }
}
