import type { LayerRange } from '../models/types.js'

/** What this node is about to do with a model, beside what it serves. */
export interface Intent {
  /** Layers that are being fetched or loaded. */
  claim?: LayerRange
  /** The owner chose the layers. */
  pinned?: true
}

/** What others should know of this node's plans. Dispatches `change`. */
export class Intents extends EventTarget {
  readonly #claims = new Map<string, LayerRange>()
  readonly #pinned = new Set<string>()

  of(manifest: string): Intent {
    const claim = this.#claims.get(manifest)
    return { ...(claim && { claim }), ...(this.#pinned.has(manifest) && { pinned: true }) }
  }

  /** The claim holds until it is disposed of. */
  claim(manifest: string, range: LayerRange): Disposable {
    const mine = { ...range }
    this.#claims.set(manifest, mine)
    this.#changed()
    return {
      [Symbol.dispose]: () => {
        if (this.#claims.get(manifest) !== mine) return // another one took its place
        this.#claims.delete(manifest)
        this.#changed()
      }
    }
  }

  pin(manifest: string, isPinned: boolean): void {
    if (isPinned) this.#pinned.add(manifest)
    else this.#pinned.delete(manifest)
    this.#changed()
  }

  #changed(): void {
    this.dispatchEvent(new Event('change'))
  }
}
