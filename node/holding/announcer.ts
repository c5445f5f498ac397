import { isDeepStrictEqual } from 'node:util'
import type { ModelStore } from '../models/store.js'
import type { ShardRegistry } from '../pipeline/shard-registry.js'
import type { Announcement, Swarm } from '../swarm/types.js'
import { heldModels } from './announcement.js'
import type { Intents } from './intents.js'

/** Free room, speed and queue change all the time: others hear of it this often. */
const REFRESH_MS = 15_000

export interface AnnouncerParts {
  swarm: Pick<Swarm, 'announce'>
  store: Pick<ModelStore, 'list' | 'heldRanges'>
  shards: ShardRegistry
  intents: Intents
}

/** Keeps the swarm informed of what this node holds and serves. */
export class Announcer {
  readonly #parts: AnnouncerParts
  readonly #about: () => Omit<Announcement, 'models'>
  #last: Announcement | undefined
  #timer: NodeJS.Timeout | undefined
  #updates: Promise<void> = Promise.resolve()
  #stopped = false

  constructor(parts: AnnouncerParts, about: () => Omit<Announcement, 'models'>) {
    this.#parts = parts
    this.#about = about
  }

  async start(): Promise<void> {
    this.#parts.shards.addEventListener('change', this.#onChange)
    this.#parts.intents.addEventListener('change', this.#onChange)
    this.#timer = setInterval(this.#onChange, REFRESH_MS).unref()
    await this.update()
  }

  stop(): void {
    this.#parts.shards.removeEventListener('change', this.#onChange)
    this.#parts.intents.removeEventListener('change', this.#onChange)
    clearInterval(this.#timer)
    this.#stopped = true
  }

  /** Announces what is true now, where it differs from what was said last. */
  async update(): Promise<void> {
    // One at a time: what is announced last is what was true last.
    const update = this.#updates.then(async () => this.#update())
    this.#updates = update.catch(() => undefined)
    return update
  }

  async #update(): Promise<void> {
    const { swarm, store, shards, intents } = this.#parts
    const held = await Promise.all(
      store.list().map(async model => ({ model, ranges: await store.heldRanges(model.id) }))
    )
    const announcement = { ...this.#about(), models: heldModels(held, shards.list(), manifest => intents.of(manifest)) }
    if (this.#stopped || isDeepStrictEqual(announcement, this.#last)) return
    this.#last = announcement
    await swarm.announce(announcement)
  }

  readonly #onChange = (): void => {
    this.update().catch(() => undefined) // the next one says it all
  }
}
