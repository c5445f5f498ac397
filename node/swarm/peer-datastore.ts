import { LevelDatastore } from 'datastore-level'

type Key = Parameters<LevelDatastore['get']>[0]
type Options = Parameters<LevelDatastore['get']>[1]

/** More than the connections that a node has. */
const MAX_RECENT = 1_024

/**
 * Where libp2p keeps what it knows of peers, on disk. It reads a peer with every stream that is opened, which is a turn
 * of a thread and of the event loop each time: what was used last is answered from memory.
 */
export class PeerDatastore extends LevelDatastore {
  /** The longest unused first. */
  readonly #recent = new Map<string, Uint8Array>()

  override async get(key: Key, options?: Options): Promise<Uint8Array> {
    const recent = this.#recent.get(key.toString())
    const value = recent ?? (await super.get(key, options))
    // Meanwhile another value may have been put.
    if (recent !== undefined || !this.#recent.has(key.toString())) this.#use(key, value)
    return value
  }

  override async has(key: Key, options?: Options): Promise<boolean> {
    return this.#recent.has(key.toString()) || (await super.has(key, options))
  }

  override async put(key: Key, value: Uint8Array, options?: Options): Promise<Key> {
    this.#use(key, value)
    return super.put(key, value, options)
  }

  override async delete(key: Key, options?: Options): Promise<void> {
    this.#recent.delete(key.toString())
    await super.delete(key, options)
  }

  #use(key: Key, value: Uint8Array): void {
    const name = key.toString()
    this.#recent.delete(name)
    this.#recent.set(name, value)
    if (this.#recent.size <= MAX_RECENT) return
    for (const oldest of this.#recent.keys()) {
      this.#recent.delete(oldest)
      return
    }
  }
}
