import type { Engine } from '../engine/types.js'

export interface MemoryBudgetParts {
  engine: Pick<Engine, 'info'>
}

export interface MemoryBudgetSettings {
  /** Bytes free in the machine's memory at the start. */
  freeBytes: number
  /** What of the free bytes of the device that computes the owner gives. */
  share: (freeBytes: number) => number
}

/**
 * What the owner gives to shards. Where a GPU computes, its memory is what counts: asked once, when the engine is ready
 * and nothing is loaded yet.
 */
export class MemoryBudget {
  readonly #parts: MemoryBudgetParts
  readonly #settings: MemoryBudgetSettings
  #bytes: number | undefined

  constructor(parts: MemoryBudgetParts, settings: MemoryBudgetSettings) {
    this.#parts = parts
    this.#settings = settings
  }

  get bytes(): number {
    const { info } = this.#parts.engine
    const { freeBytes, share } = this.#settings
    if (info === undefined) return this.#bytes ?? share(freeBytes)
    const onDevices = info.devices.reduce((sum, { memoryFree }) => sum + memoryFree, 0)
    this.#bytes ??= share(info.backend === 'cpu' ? freeBytes : onDevices)
    return this.#bytes
  }
}
