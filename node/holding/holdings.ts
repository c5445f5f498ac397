import { asError } from '../../protocol/errors.js'
import type { TaskView } from '../control/contract.js'
import { EngineError } from '../engine/errors.js'
import type { Logger } from '../logger.js'
import type { ModelStore } from '../models/store.js'
import type { LayerRange, StoredModel } from '../models/types.js'
import { answersTo, offeredModels, rangeText } from '../pipeline/catalogue.js'
import type { ShardRegistry } from '../pipeline/shard-registry.js'
import type { Directory } from '../swarm/types.js'
import { chooseRange } from './choice.js'
import { HoldingError } from './errors.js'
import type { MemoryBudget } from './memory-budget.js'
import { bytesOfRange } from '../scheduler/fit.js'
import { footprint, type Footprint } from './footprint.js'
import type { ModelLibrary } from './library.js'

/** After a change in the directory, changes that follow at once are looked at together. */
const SETTLE_MS = 250
/** Lines in the log on the way to a whole shard. */
const PROGRESS_LINES = 10
/** A model that could not be held is tried again after this ... */
const RETRY_MS = 30_000
/** ... and after this, doubled each time up to the longest, when the engine died of it, and with it all other sessions. */
const FATAL_RETRY_MS = 600_000
const LONGEST_RETRY_MS = 6 * 3_600_000

export interface HoldingsParts {
  store: ModelStore
  shards: ShardRegistry
  library: Pick<ModelLibrary, 'header' | 'range'>
  directory: Directory
  /** What the owner gives to shards. */
  memory: Pick<MemoryBudget, 'bytes'>
  logger: Pick<Logger, 'info' | 'warn'>
}

export interface HoldingsSettings {
  /** Names or beginnings of manifest hashes of the models that are held by themselves; none: whatever the swarm offers. */
  models: readonly string[]
  /** The owner's own choice of layers, for every model. */
  layers: LayerRange | undefined
  /** KV positions of a shard. */
  context: number
}

/**
 * Which layers this node holds: chooses a range of every model that the swarm offers while memory lasts, fetches its
 * pieces, loads it and serves it. One model at a time. Dispatches `change` when tasks change.
 */
export class Holdings extends EventTarget {
  readonly #parts: HoldingsParts
  readonly #settings: HoldingsSettings
  readonly #usedBytes = new Map<string, number>()
  /** Models that nobody asked for and whose turn is to come. */
  readonly #waiting = new Set<string>()
  /** Those that could not be held: when they are tried again, and how often the engine died of them. */
  readonly #failed = new Map<string, { retryAt: number; timer: NodeJS.Timeout; fatal: number }>()
  /** The owner does not want these any more, until they ask for one again. */
  readonly #removed = new Set<string>()
  readonly #tasks = new Set<TaskView>()
  #queue: Promise<unknown> = Promise.resolve()
  /** The model whose turn it is, and how to end that. */
  #current: { manifest: string; controller: AbortController; held: Promise<unknown> } | undefined
  /** Why nothing is held any more. */
  #stopped: Error | undefined
  #settling: NodeJS.Timeout | undefined

  constructor(parts: HoldingsParts, settings: HoldingsSettings) {
    super()
    this.#parts = parts
    this.#settings = settings
  }

  /** Serves what is in the store, then whatever the swarm offers. */
  start(): void {
    for (const { id, manifest, shards, sourceFile } of this.#parts.store.list()) {
      // Where only the header is here, holders must be known first.
      const isHere = shards.length > 0 || sourceFile !== undefined
      if (isHere && this.#isWanted({ manifest: id, name: manifest.name })) void this.#try(id)
    }
    this.#parts.directory.addEventListener('change', this.#settle)
    this.#settle()
  }

  async stop(): Promise<void> {
    this.#parts.directory.removeEventListener('change', this.#settle)
    clearTimeout(this.#settling)
    for (const { timer } of this.#failed.values()) clearTimeout(timer)
    this.#stopped ??= new Error('the node is shutting down')
    this.#current?.controller.abort(this.#stopped)
    await this.#queue
  }

  get tasks(): readonly TaskView[] {
    return [...this.#tasks]
  }

  get usedBytes(): number {
    return [...this.#usedBytes.values()].reduce((sum, bytes) => sum + bytes, 0)
  }

  /**
   * Chooses layers of this model, unless the owner pins them, gets and serves them; the range that is served, or was already.
   * @throws HoldingError, ModelError, EngineError
   */
  async hold(manifest: string, pinned = this.#settings.layers): Promise<LayerRange> {
    this.#removed.delete(manifest)
    return this.#enqueue(manifest, pinned)
  }

  async #enqueue(manifest: string, pinned: LayerRange | undefined): Promise<LayerRange> {
    const holding = this.#queue.then(async () => this.#turn(manifest, pinned))
    this.#queue = holding.catch(() => undefined)
    return holding
  }

  /** Stops fetching or serving a model, and deletes what the store has of it. */
  async remove(manifest: string): Promise<void> {
    this.#removed.add(manifest)
    if (this.#current?.manifest === manifest) {
      this.#current.controller.abort(removed())
      await this.#current.held.catch(() => undefined)
    }
    await this.#parts.shards.withdraw(manifest)
    this.#usedBytes.delete(manifest)
    await this.#parts.store.remove(manifest)
    this.#changed()
  }

  readonly #settle = (): void => {
    // Not put off by further changes: a busy directory would never be looked at.
    this.#settling ??= setTimeout(() => {
      this.#settling = undefined
      this.#look()
    }, SETTLE_MS)
  }

  #look(): void {
    for (const model of offeredModels(this.#parts.directory.nodes()).filter(offered => this.#isWanted(offered))) {
      const { manifest, holders } = model
      const fetchable = holders.some(({ serving }) => !serving)
      if (fetchable && this.#parts.shards.offered(manifest) === undefined) void this.#try(manifest)
    }
  }

  #isWanted(model: { manifest: string; name: string }): boolean {
    const { models } = this.#settings
    return models.length === 0 || models.some(wanted => answersTo(model, wanted))
  }

  /** For models that nobody asked this node to hold: a failure is logged, and tried again later. */
  async #try(manifest: string): Promise<void> {
    const isDue = (this.#failed.get(manifest)?.retryAt ?? 0) <= Date.now()
    if (this.#removed.has(manifest) || this.#waiting.has(manifest) || !isDue) return
    this.#waiting.add(manifest)
    try {
      await this.#enqueue(manifest, this.#settings.layers)
      this.#failed.delete(manifest)
    } catch (error) {
      if (this.#stopped === undefined && !this.#removed.has(manifest)) this.#tryLater(manifest, asError(error))
    } finally {
      this.#waiting.delete(manifest)
    }
  }

  #tryLater(manifest: string, error: Error): void {
    let { fatal } = this.#failed.get(manifest) ?? { fatal: 0 }
    let wait = RETRY_MS
    if (error instanceof EngineError && error.code === 'ENGINE_LOST') {
      wait = Math.min(FATAL_RETRY_MS * 2 ** fatal, LONGEST_RETRY_MS)
      fatal++
    }
    const longAgo = Date.now() - LONGEST_RETRY_MS
    for (const [other, { retryAt }] of this.#failed) if (retryAt < longAgo) this.#failed.delete(other)
    const timer = setTimeout(() => this.#look(), wait).unref()
    this.#failed.set(manifest, { retryAt: Date.now() + wait, timer, fatal })
    const retryInSeconds = wait / 1_000
    this.#parts.logger.warn({ manifest, reason: error.message, retryInSeconds }, 'cannot hold this model now')
  }

  async #turn(manifest: string, pinned: LayerRange | undefined): Promise<LayerRange> {
    if (this.#stopped !== undefined) throw this.#stopped
    if (this.#removed.has(manifest)) throw removed()
    const controller = new AbortController()
    const held = this.#hold(manifest, pinned, controller.signal)
    this.#current = { manifest, controller, held }
    try {
      return await held
    } finally {
      this.#current = undefined
    }
  }

  async #hold(manifest: string, pinned: LayerRange | undefined, signal: AbortSignal): Promise<LayerRange> {
    const { shards, library, store, logger } = this.#parts
    const offered = shards.offered(manifest)
    if (offered !== undefined) return offered
    this.#usedBytes.delete(manifest)
    const model = await library.header(manifest, { signal })
    const size = footprint(model.manifest, (await store.header(manifest)).metadata, this.#settings.context)
    const range = this.#choose(model, size, pinned)
    const { name, architecture, layers } = model.manifest
    const file = await this.#task({ what: 'fetching', model: name, layers: range, progress: 0 }, async task =>
      library.range(manifest, range, {
        signal,
        onProgress: ({ bytes, totalBytes }) => this.#progress(task, totalBytes === 0 ? 1 : bytes / totalBytes)
      })
    )
    await this.#task({ what: 'loading', model: name, layers: range, progress: 0 }, async () =>
      shards.serve(
        {
          manifest,
          file: { file, architecture, ...range, layers },
          check: async () => store.checkFile(manifest, file)
        },
        { signal }
      )
    )
    this.#usedBytes.set(manifest, bytesOfRange(size, range))
    logger.info({ model: name, layers: rangeText(range) }, 'serving layers')
    return range
  }

  #choose(model: StoredModel, size: Footprint, pinned: LayerRange | undefined): LayerRange {
    const secondsPerLayer = this.#parts.shards.list()[0]?.secondsPerLayer
    return chooseRange({
      model,
      footprint: size,
      memoryBytes: this.#parts.memory.bytes - this.usedBytes,
      pinned,
      nodes: this.#parts.directory.nodes(),
      layersPerSecond: secondsPerLayer === undefined ? undefined : 1 / secondsPerLayer
    })
  }

  async #task<T>(task: TaskView, run: (task: TaskView) => Promise<T>): Promise<T> {
    this.#tasks.add(task)
    this.#changed()
    try {
      return await run(task)
    } finally {
      this.#tasks.delete(task)
      this.#changed()
    }
  }

  /** For `flambeau status`, and a line in the log every tenth of the way. */
  #progress(task: TaskView, progress: number): void {
    const tenth = Math.floor(progress * PROGRESS_LINES)
    if (tenth > Math.floor(task.progress * PROGRESS_LINES) && progress < 1) {
      const layers = task.layers === undefined ? undefined : rangeText(task.layers)
      this.#parts.logger.info({ model: task.model, layers, percent: Math.floor(progress * 100) }, task.what)
    }
    task.progress = progress
  }

  #changed(): void {
    this.dispatchEvent(new Event('change'))
  }
}

function removed(): HoldingError {
  return new HoldingError('REMOVED', 'the model was removed from this node meanwhile')
}
