import { NotFoundError } from '@libp2p/interface'
import type { KadDHTComponents } from '@libp2p/kad-dht'
import { MAX_NODE_RECORD_BYTES } from '../../protocol/limits.js'
import { SwarmError } from './errors.js'

type Datastore = KadDHTComponents['datastore']
type Key = Parameters<Datastore['get']>[0]

interface Entry {
  key: Key
  value: Uint8Array
}

/** Records and providers together: twice what a swarm of some thousand nodes gives to one of them. */
const MAX_ENTRIES = 8_192
/** Their keys and values together; a usual record has 1 KiB. */
const MAX_BYTES = 16 * 1024 * 1024
/** One key and its value: the largest node record, and what kad-dht writes around it. */
const MAX_ENTRY_BYTES = MAX_NODE_RECORD_BYTES + 2 * 1024

/**
 * What this node stores for the DHT, in memory: kad-dht never deletes a record that nobody asks for, and everything in
 * it is put again within minutes. At a bound the entry that was put longest ago goes, but none that names `owner`:
 * kad-dht provides again what it finds here of its own.
 */
export class DhtStore implements Datastore {
  readonly #entries = new Map<string, Entry>()
  readonly #own: string
  readonly #maxEntries: number
  #bytes = 0

  constructor({ owner, maxEntries = MAX_ENTRIES }: { owner: string; maxEntries?: number }) {
    this.#own = `/${owner}`
    this.#maxEntries = maxEntries
  }

  /** @throws SwarmError FRAME_TOO_LARGE */
  put(key: Key, value: Uint8Array): Key {
    const bytes = sizeOf({ key, value })
    if (bytes > MAX_ENTRY_BYTES) {
      throw new SwarmError('FRAME_TOO_LARGE', `${bytes} bytes for the DHT, the most are ${MAX_ENTRY_BYTES}`)
    }
    this.delete(key)
    this.#entries.set(key.toString(), { key, value })
    this.#bytes += bytes
    this.#makeRoom()
    return key
  }

  /** @throws NotFoundError */
  get(key: Key): Uint8Array {
    const entry = this.#entries.get(key.toString())
    if (entry === undefined) throw new NotFoundError(`${key.toString()} is not stored`)
    return entry.value
  }

  has(key: Key): boolean {
    return this.#entries.has(key.toString())
  }

  delete(key: Key): void {
    const entry = this.#entries.get(key.toString())
    if (entry === undefined) return
    this.#entries.delete(key.toString())
    this.#bytes -= sizeOf(entry)
  }

  /** By prefix only, as kad-dht asks. */
  *query({ prefix = '' }: { prefix?: string }): Generator<Entry> {
    for (const [name, entry] of this.#entries) if (name.startsWith(prefix)) yield entry
  }

  *queryKeys(query: { prefix?: string }): Generator<Key> {
    for (const { key } of this.query(query)) yield key
  }

  async *putMany(source: AsyncIterable<Entry> | Iterable<Entry>): AsyncGenerator<Key> {
    for await (const { key, value } of source) yield this.put(key, value)
  }

  async *getMany(source: AsyncIterable<Key> | Iterable<Key>): AsyncGenerator<Entry> {
    for await (const key of source) yield { key, value: this.get(key) }
  }

  async *deleteMany(source: AsyncIterable<Key> | Iterable<Key>): AsyncGenerator<Key> {
    for await (const key of source) {
      this.delete(key)
      yield key
    }
  }

  batch(): ReturnType<Datastore['batch']> {
    const work: (() => void)[] = []
    return {
      put: (key, value) => void work.push(() => this.put(key, value)),
      delete: key => void work.push(() => this.delete(key)),
      commit: () => work.splice(0).forEach(step => step())
    }
  }

  #makeRoom(): void {
    for (const [name, { key }] of this.#entries) {
      if (this.#entries.size <= this.#maxEntries && this.#bytes <= MAX_BYTES) return
      if (!name.endsWith(this.#own)) this.delete(key)
    }
  }
}

function sizeOf({ key, value }: Entry): number {
  return key.uint8Array().byteLength + value.byteLength
}
