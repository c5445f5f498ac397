import { asError } from '../../protocol/errors.js'
import type { Suspendable } from '../availability/types.js'
import { EngineError } from '../engine/errors.js'
import type { Logger } from '../logger.js'
import type { ModelStore } from '../models/store.js'
import type { LayerRange, StoredModel } from '../models/types.js'
import { answersTo, offeredModels, rangeText } from '../pipeline/catalogue.js'
import type { ShardRegistry } from '../pipeline/shard-registry.js'
import type { Directory } from '../swarm/types.js'
import { chooseRange, speedOf } from './choice.js'
import { HoldingError } from './errors.js'
import type { MemoryBudget } from './memory-budget.js'
import { bytesOfRange } from '../scheduler/fit.js'
import type { Footprint } from './footprint.js'
import type { Intents } from './intents.js'
import type { ShardLoader } from './shard-loader.js'

/** After a change in the directory, changes that follow at once are looked at together. */
const SETTLE_MS = 250
/** A model that could not be held is tried again after this ... */
const RETRY_MS = 30_000
/** ... and after this, doubled each time up to the longest, when the engine died of it, and with it all other sessions. */
const FATAL_RETRY_MS = 600_000
const LONGEST_RETRY_MS = 6 * 3_600_000

export interface HoldingsParts {
  store: ModelStore
  shards: ShardRegistry
  loader: ShardLoader
  intents: Intents
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
}

/**
 * Which layers this node holds: chooses a range of every model that the swarm offers while memory lasts, fetches its
 * pieces, loads it and serves it. One model at a time.
 */
export class Holdings implements Suspendable {
  /** What the served layers of each model take. */
  readonly usedBytesOf = new Map<string, number>()
  readonly #parts: HoldingsParts
  readonly #settings: HoldingsSettings
  /** Models that nobody asked for and whose turn is to come. */
  readonly #waiting = new Set<string>()
  /** Those that could not be held: when they are tried again, and how often the engine died of them. */
  readonly #failed = new Map<string, { retryAt: number; timer: NodeJS.Timeout; fatal: number }>()
  /** The owner does not want these any more, until they ask for one again. */
  readonly #removed = new Set<string>()
  /** By manifest, what was served when it was suspended, or was asked for since: what is served when it is restored. */
  readonly #ranges = new Map<string, LayerRange>()
  #suspended = false
  #queue: Promise<unknown> = Promise.resolve()
  /** The model whose turn it is, and how to end that. */
  #current: { manifest: string; controller: AbortController; held: Promise<unknown> } | undefined
  /** Why nothing is held any more. */
  #stopped: Error | undefined
  #settling: NodeJS.Timeout | undefined

  constructor(parts: HoldingsParts, settings: HoldingsSettings) {
    this.#parts = parts
    this.#settings = settings
  }

  /** Serves what is in the store, then whatever the swarm offers. */
  start(): void {
    this.#serveStored()
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

  /** Unloads all, and holds nothing until `restore()`; what the store has stays there. */
  async suspend(): Promise<void> {
    this.#suspended = true
    this.#current?.controller.abort(paused())
    await this.#queue
    for (const [manifest, range] of await this.#parts.shards.withdrawAll()) this.#ranges.set(manifest, range)
    this.usedBytesOf.clear()
  }

  /** Holds again what it held before, then whatever the swarm offers. */
  restore(): void {
    if (!this.#suspended) return
    this.#suspended = false
    for (const manifest of this.#ranges.keys()) void this.#try(manifest)
    this.#serveStored()
    this.#settle()
  }

  #serveStored(): void {
    for (const { id, manifest, shards, sourceFile } of this.#parts.store.list()) {
      // Where only the header is here, holders must be known first.
      const isHere = shards.length > 0 || sourceFile !== undefined
      if (isHere && this.#isWanted({ manifest: id, name: manifest.name })) void this.#try(id)
    }
  }

  get usedBytes(): number {
    return [...this.usedBytesOf.values()].reduce((sum, bytes) => sum + bytes, 0)
  }

  /**
   * Chooses layers of this model, unless the owner pins them, gets and serves them; the range that is served, or was already.
   * @throws HoldingError, ModelError, EngineError
   */
  async hold(manifest: string, pinned = this.#settings.layers): Promise<LayerRange> {
    this.#removed.delete(manifest)
    if (this.#suspended && pinned !== undefined) this.#ranges.set(manifest, pinned)
    return this.#enqueue(manifest, pinned)
  }

  async #enqueue(manifest: string, pinned: LayerRange | undefined): Promise<LayerRange> {
    return this.turn(manifest, async signal => this.#hold(manifest, pinned, signal))
  }

  /** Stops fetching or serving a model, and deletes what the store has of it. */
  async remove(manifest: string): Promise<void> {
    this.#removed.add(manifest)
    if (this.#current?.manifest === manifest) {
      this.#current.controller.abort(removed())
      await this.#current.held.catch(() => undefined)
    }
    await this.#parts.shards.withdraw(manifest)
    this.usedBytesOf.delete(manifest)
    this.#ranges.delete(manifest)
    await this.#parts.store.remove(manifest)
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
    if (this.#suspended || this.#removed.has(manifest) || this.#waiting.has(manifest) || !isDue) return
    this.#waiting.add(manifest)
    try {
      await this.#enqueue(manifest, this.#ranges.get(manifest) ?? this.#settings.layers)
      this.#failed.delete(manifest)
    } catch (error) {
      const isMeant = this.#stopped !== undefined || this.#suspended || this.#removed.has(manifest)
      if (!isMeant) this.#tryLater(manifest, asError(error))
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

  /** One piece of work on a model at a time; it ends early when the model is removed, or the node stops. */
  async turn<T>(manifest: string, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const turn = this.#queue.then(async () => this.#work(manifest, work))
    this.#queue = turn.catch(() => undefined)
    return turn
  }

  async #work<T>(manifest: string, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    if (this.#stopped !== undefined) throw this.#stopped
    if (this.#suspended) throw paused()
    if (this.#removed.has(manifest)) throw removed()
    const controller = new AbortController()
    const held = work(controller.signal)
    this.#current = { manifest, controller, held }
    try {
      return await held
    } finally {
      this.#current = undefined
    }
  }

  async #hold(manifest: string, pinned: LayerRange | undefined, signal: AbortSignal): Promise<LayerRange> {
    const { shards, loader, intents, logger } = this.#parts
    const offered = shards.offered(manifest)
    if (offered !== undefined) return offered
    this.usedBytesOf.delete(manifest)
    const { model, size } = await loader.describe(manifest, { signal })
    const range = this.#choose(model, size, pinned)
    intents.pin(manifest, pinned !== undefined)
    using _claim = intents.claim(manifest, range)
    const file = await loader.fetch(model, range, { signal })
    await loader.serve(model, { range, file }, { signal })
    this.usedBytesOf.set(manifest, bytesOfRange(size, range))
    this.#ranges.delete(manifest)
    logger.info({ model: model.manifest.name, layers: rangeText(range) }, 'serving layers')
    return range
  }

  #choose(model: StoredModel, size: Footprint, pinned: LayerRange | undefined): LayerRange {
    const [served] = this.#parts.shards.list()
    return chooseRange({
      model,
      footprint: size,
      memoryBytes: this.#parts.memory.bytes - this.usedBytes,
      pinned,
      nodes: this.#parts.directory.nodes(),
      layersPerSecond: served && speedOf(served)
    })
  }
}

function removed(): HoldingError {
  return new HoldingError('REMOVED', 'the model was removed from this node meanwhile')
}

function paused(): HoldingError {
  return new HoldingError('PAUSED', 'this node is paused, and holds layers again when it serves: `flambeau resume`')
}
