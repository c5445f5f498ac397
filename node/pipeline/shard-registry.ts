import type { ContextSettings, Engine, ShardFile } from '../engine/types.js'
import { ServedShard } from './served-shard.js'

export interface ShardOffer {
  /** Manifest hash, hex. */
  manifest: string
  file: ShardFile
}

/** The shards that this node serves. After an engine restart all of them are loaded again. Dispatches `change`. */
export class ShardRegistry extends EventTarget {
  readonly #engine: Engine
  readonly #settings: ContextSettings
  #offers: ShardOffer[] = []
  #served: ServedShard[] = []

  constructor({ engine }: { engine: Engine }, settings: ContextSettings) {
    super()
    this.#engine = engine
    this.#settings = settings
  }

  list(): readonly ServedShard[] {
    return this.#served
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

  /** No new sessions from now on; unloads the model's shards. */
  async withdraw(manifest: string): Promise<void> {
    const leaving = this.#served.filter(shard => shard.facts.manifest === manifest)
    this.#offers = this.#offers.filter(offer => offer.manifest !== manifest)
    this.#replace(this.#served.filter(shard => shard.facts.manifest !== manifest))
    for (const { facts } of leaving) await this.#engine.unload(facts.loaded.id)
  }

  /** The engine's child is gone, and every shard with it. */
  engineLost(): void {
    this.#replace([])
  }

  /** A new engine child is ready. */
  async engineReady(): Promise<void> {
    for (const offer of this.#offers) await this.#load(offer, {})
  }

  async #load({ manifest, file }: ShardOffer, options: { signal?: AbortSignal }): Promise<ServedShard> {
    const loaded = await this.#engine.load(file, this.#settings, options)
    const facts = { manifest, range: { start: file.start, end: file.end }, layers: file.layers, loaded }
    const shard = new ServedShard({ engine: this.#engine }, facts)
    await shard.calibrate()
    this.#replace([...this.#served, shard])
    return shard
  }

  #replace(served: ServedShard[]): void {
    this.#served = served
    this.dispatchEvent(new Event('change'))
  }
}
