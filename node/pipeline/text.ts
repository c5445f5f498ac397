/** From tokens to text: UTF-8 characters spread over several tokens, and stop strings spread over several pieces. */
import { overlap } from '../overlap.js'

export interface TextPiece {
  text: string
  /** True once a stop string was met: nothing follows. */
  stopped: boolean
}

/**
 * Collects the bytes of tokens and gives out text that can no longer change: whole characters, and nothing that might
 * still turn out to be the beginning of a stop string.
 */
export class TextStream {
  readonly #decoder = new TextDecoder('utf-8')
  readonly #stops: readonly string[]
  #held = ''
  #stopped = false

  constructor(stops: readonly string[] = []) {
    this.#stops = stops.filter(stop => stop.length > 0)
  }

  push(bytes: Uint8Array): TextPiece {
    this.#held += this.#decoder.decode(bytes, { stream: true })
    return this.#release(this.#possibleStop())
  }

  /** What is still held back, at the end of the answer. */
  end(): string {
    if (this.#stopped) return ''
    this.#held += this.#decoder.decode()
    return this.#release(this.#held.length).text
  }

  #release(end: number): TextPiece {
    const found = this.#stops.map(stop => this.#held.indexOf(stop)).filter(at => at >= 0)
    const stopped = found.length > 0
    const until = stopped ? Math.min(...found) : end
    const text = this.#held.slice(0, until)
    this.#held = stopped ? '' : this.#held.slice(until)
    this.#stopped ||= stopped
    return { text, stopped }
  }

  /** Where the longest ending that begins a stop string starts. */
  #possibleStop(): number {
    const starts = this.#stops.map(stop => this.#held.length - overlap(this.#held, stop))
    return Math.min(this.#held.length, ...starts)
  }
}
