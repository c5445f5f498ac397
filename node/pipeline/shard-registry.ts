import { abortable, deadline } from '../deadline.js'
import type { ContextSettings, Engine, ShardFile } from '../engine/types.js'
import type { LayerRange } from '../models/types.js'
import { RETIRE_MS } from './constants.js'
import { ServedShard, type ServedShardParts } from './served-shard.js'

export interface ShardOffer {
  /** Manifest hash, hex. */
  manifest: string
  file: ShardFile
  /** Rejects when the file is no longer what it was: asked before it is loaded again. Absent: nobody changes it. */
  check?: () => Promise<void>
}

/**
 * The shards that this node serves; of one model there may be two, while sessions on the old one end. After an engine restart all of
 * them are loaded again. Dispatches `change`, and `relieve` with a shard whose sessions should go elsewhere.
 */
export class ShardRegistry extends EventTarget {
  readonly #parts: ServedShardParts
  readonly #engine: Engine
  readonly #settings: ContextSettings
  #offers: ShardOffer[] = []
  #served: ServedShard[] = []
  /** Loaded, for the sessions that they have. */
  #retiring: ServedShard[] = []
  /** Engines that were lost so far. */
  #losses = 0

  constructor(parts: ServedShardParts, settings: ContextSettings) {
    super()
    this.#parts = parts
    this.#engine = parts.engine
    this.#settings = settings
  }

  /** Those that take sessions. */
  list(): readonly ServedShard[] {
    return this.#served
  }

  /** The layers of this model that are served, or will be again once the engine is back. */
  offered(manifest: string): LayerRange | undefined {
    const file = this.#offers.find(offer => offer.manifest === manifest)?.file
    return file && { start: file.start, end: file.end }
  }

  /** The shard of this model that is entered at layer `start` and reaches layer `leave`. */
  find(manifest: string, start: number, leave: number): ServedShard | undefined {
    return this.#served.find(
      ({ facts }) => facts.manifest === manifest && facts.range.start === start && facts.range.end >= leave
    )
  }

  /** Loads a shard, measures it and takes sessions from then on. */
  async serve(offer: ShardOffer, options: { signal?: AbortSignal } = {}): Promise<ServedShard> {
    const served = await this.#load(offer, options)
    this.#offers = [...this.#offers, offer]
    return served
  }

  /** No new sessions from now on; unloads the shard when its last session is over, at the latest after `RETIRE_MS`. */
  async retire(shard: ServedShard): Promise<void> {
    const { manifest, range } = shard.facts
    const isSame = ({ manifest: other, file: { start, end } }: ShardOffer): boolean =>
      other === manifest && start === range.start && end === range.end
    this.#offers = this.#offers.filter(offer => !isSame(offer))
    this.#retiring = [...this.#retiring, shard]
    this.#replace(this.#served.filter(other => other !== shard))
    this.relieve(shard)
    using limit = deadline('the end of the sessions on a shard that is replaced', RETIRE_MS)
    await abortable(shard.idle(), limit.signal).catch(() => undefined) // those that are left end with a fault
    if (!this.#retiring.includes(shard)) return // withdrawn meanwhile
    this.#retiring = this.#retiring.filter(other => other !== shard)
    await this.#engine.unload(shard.facts.loaded.id).catch(() => undefined) // an engine that died has forgotten it anyway
  }

  /** Asks the sessions on a shard to go elsewhere; those that cannot stay, and new ones may come. */
  relieve(shard: ServedShard): void {
    this.dispatchEvent(new CustomEvent('relieve', { detail: shard }))
  }

  /** No new sessions from now on; unloads the model's shards. */
  async withdraw(manifest: string): Promise<void> {
    const leaving = [...this.#served, ...this.#retiring].filter(shard => shard.facts.manifest === manifest)
    this.#retiring = this.#retiring.filter(shard => shard.facts.manifest !== manifest)
    this.#offers = this.#offers.filter(offer => offer.manifest !== manifest)
    this.#replace(this.#served.filter(shard => shard.facts.manifest !== manifest))
    for (const { facts } of leaving) await this.#engine.unload(facts.loaded.id)
  }

  /** The same for all models, whatever the engine says to it; what was offered, by manifest. */
  async withdrawAll(): Promise<ReadonlyMap<string, LayerRange>> {
    const offered = new Map(this.#offers.map(({ manifest, file: { start, end } }) => [manifest, { start, end }]))
    const leaving = [...this.#served, ...this.#retiring]
    this.#offers = []
    this.#retiring = []
    this.#replace([])
    for (const { facts } of leaving) await this.#engine.unload(facts.loaded.id).catch(() => undefined)
    return offered
  }

  /** The engine's child is gone, and every shard with it. */
  engineLost(): void {
    this.#losses++
    this.#retiring = []
    this.#replace([])
  }

  /** A new engine child is ready. Shards that it does not load are no longer offered. @throws AggregateError with why */
  async engineReady(): Promise<void> {
    const losses = this.#losses
    const failures: unknown[] = []
    for (const offer of this.#offers) {
      try {
        await offer.check?.()
        await this.#load(offer, {})
        if (!this.#offers.includes(offer)) await this.withdraw(offer.manifest) // withdrawn meanwhile
      } catch (error) {
        if (this.#losses !== losses) return // lost again: the next engine loads them all
        this.#offers = this.#offers.filter(other => other !== offer)
        failures.push(error)
      }
    }
    if (failures.length > 0) throw new AggregateError(failures, `${failures.length} shards could not be loaded again`)
  }

  async #load({ manifest, file }: ShardOffer, options: { signal?: AbortSignal }): Promise<ServedShard> {
    const loaded = await this.#engine.load(file, this.#settings, options)
    const facts = { manifest, range: { start: file.start, end: file.end }, layers: file.layers, loaded }
    const shard = new ServedShard(this.#parts, facts)
    try {
      await shard.calibrate()
    } catch (error) {
      await this.#engine.unload(loaded.id).catch(() => undefined) // an engine that died has forgotten it anyway
      throw error
    }
    this.#replace([...this.#served, shard])
    return shard
  }

  #replace(served: ServedShard[]): void {
    this.#served = served
    this.dispatchEvent(new Event('change'))
  }
}
