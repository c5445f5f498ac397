import type { LayerRange } from '../models/types.js'
import type { ShardRegistry } from '../pipeline/shard-registry.js'
import { isLost, missingLayers } from '../scheduler/coverage.js'
import type { Directory } from '../swarm/types.js'
import { servedBy } from './choice.js'

/** What changes in the directory within so long is looked at together, milliseconds. */
const INTERVAL = 1_000

export interface HoleWatchParts {
  directory: Directory
  shards: Pick<ShardRegistry, 'list'>
}

/** Tells when layers of a model that this node serves part of have lost their last holder. */
export class HoleWatch {
  readonly #parts: HoleWatchParts
  readonly #onHole: () => void
  /** By manifest, the layers that nobody serves, as they were last. */
  #missing = new Map<string, LayerRange[]>()
  #timer: NodeJS.Timeout | undefined

  constructor(parts: HoleWatchParts, onHole: () => void) {
    this.#parts = parts
    this.#onHole = onHole
  }

  start(): void {
    this.#parts.directory.addEventListener('change', this.#onChange)
  }

  stop(): void {
    this.#parts.directory.removeEventListener('change', this.#onChange)
    clearTimeout(this.#timer)
  }

  readonly #onChange = (): void => {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined
      this.#look()
    }, INTERVAL).unref()
  }

  #look(): void {
    const before = this.#missing
    const nodes = this.#parts.directory.nodes()
    this.#missing = new Map()
    let isHole = false
    for (const { manifest, layers, range } of this.#parts.shards.list().map(({ facts }) => facts)) {
      const missing = missingLayers(layers, [...servedBy(nodes, manifest), range])
      this.#missing.set(manifest, missing)
      // Of a model that was not served here before, nobody knows what it had.
      isHole ||= isLost(before.get(manifest) ?? missing, missing)
    }
    if (isHole) this.#onHole()
  }
}
