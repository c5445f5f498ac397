import type { KadDHT, SingleKadDHT } from '@libp2p/kad-dht'
import { CID } from 'multiformats/cid'
import * as raw from 'multiformats/codecs/raw'
import { sha256 } from 'multiformats/hashes/sha2'
import { asError } from '../../protocol/errors.js'
import { LAYERS_PER_BUCKET, nodeRecordKey, providerKey, swarmKey } from '../../protocol/ids.js'
import type { HeldModel } from '../../protocol/node-record.js'
import { deadline } from '../deadline.js'
import type { LogSink } from './libp2p-logger.js'

/** One operation. */
const OPERATION_MILLISECONDS = 15_000
/** The same while no node is known that stores for the DHT: kad-dht waits for the first one as long as it may. */
const LONELY_MILLISECONDS = 3_000
/** Provider records of this node: models times buckets; further ones are left out. */
const MAX_PROVIDED = 512
/** Providers that one search takes. */
const MAX_PROVIDERS = 256

/** The swarm's own Kademlia, with a deadline for everything. Nothing here throws: the DHT is a hint. */
export class SwarmDht {
  readonly #kad: () => KadDHT
  readonly #logger: LogSink
  readonly #swarmKey: string
  #provided = new Set<string>()

  constructor({ dht, logger }: { dht: () => KadDHT; logger: LogSink }, { swarm }: { swarm: string }) {
    this.#kad = dht
    this.#logger = logger
    this.#swarmKey = swarmKey(swarm)
  }

  /** Stores a peer's envelope at the nodes nearest to its key. */
  async store(peer: string, envelope: Uint8Array, signal: AbortSignal): Promise<void> {
    await this.#run('store', signal, async limited => {
      await drain(this.#kad().put(nodeRecordKey(peer), envelope, { signal: limited }))
    })
  }

  /** Makes the DHT look for a peer's record; the validator takes what it finds. */
  async fetch(peer: string, signal: AbortSignal): Promise<void> {
    await this.#run('fetch', signal, async limited => {
      await drain(this.#kad().get(nodeRecordKey(peer), { signal: limited }))
    })
  }

  /** Says where this node can be found: in the swarm, and per bucket of layers that it serves. */
  async provide(models: HeldModel[], signal: AbortSignal): Promise<void> {
    const wanted = new Set([this.#swarmKey, ...layerKeys(models)].slice(0, MAX_PROVIDED))
    const dropped = [...this.#provided].filter(key => !wanted.has(key))
    const fresh = [...wanted].filter(key => !this.#provided.has(key))
    for (const key of dropped) {
      this.#provided.delete(key)
      await this.#run('unprovide', signal, async limited =>
        this.#kad().cancelReprovide(await cid(key), { signal: limited })
      )
    }
    for (const key of fresh) {
      const done = await this.#run('provide', signal, async limited => {
        await drain(this.#kad().provide(await cid(key), { signal: limited }))
      })
      if (done) this.#provided.add(key)
    }
  }

  /** Peers that say they are in the swarm. */
  async members(signal: AbortSignal): Promise<string[]> {
    return this.#providers(this.#swarmKey, signal)
  }

  /** Peers that say they serve layers of the bucket with this layer. */
  async holders(manifest: string, layer: number, signal: AbortSignal): Promise<string[]> {
    return this.#providers(providerKey(manifest, Math.floor(layer / LAYERS_PER_BUCKET)), signal)
  }

  async #providers(key: string, signal: AbortSignal): Promise<string[]> {
    const found = new Set<string>()
    // Nobody to ask, and the caller waits.
    if (this.#lonely()) return []
    await this.#run('find', signal, async limited => {
      for await (const event of this.#kad().findProviders(await cid(key), { signal: limited })) {
        if (event.name !== 'PROVIDER' && event.name !== 'PEER_RESPONSE') continue
        for (const { id } of event.providers) found.add(id.toString())
        if (found.size >= MAX_PROVIDERS) return
      }
    })
    return [...found].slice(0, MAX_PROVIDERS)
  }

  #lonely(): boolean {
    const dht = this.#kad()
    return 'routingTable' in dht && (dht as SingleKadDHT).routingTable.size === 0
  }

  async #run(what: string, parent: AbortSignal, operation: (signal: AbortSignal) => Promise<void>): Promise<boolean> {
    using limit = deadline(`DHT ${what}`, this.#lonely() ? LONELY_MILLISECONDS : OPERATION_MILLISECONDS, parent)
    try {
      await operation(limit.signal)
      return true
    } catch (error) {
      if (!parent.aborted) this.#logger.debug({ what, err: asError(error) }, 'a DHT operation failed')
      return false
    }
  }
}

/** Names of the buckets of layers that are served. */
export function layerKeys(models: HeldModel[]): string[] {
  const keys = new Set<string>()
  for (const { manifest, shards } of models) {
    for (const { start, end } of shards) {
      for (let bucket = Math.floor(start / LAYERS_PER_BUCKET); bucket * LAYERS_PER_BUCKET < end; bucket++) {
        keys.add(providerKey(manifest, bucket))
      }
    }
  }
  return [...keys]
}

async function cid(key: string): Promise<CID> {
  return CID.createV1(raw.code, await sha256.digest(new TextEncoder().encode(key)))
}

/** The DHT's operations happen while their events are read. */
async function drain(events: AsyncIterable<unknown>): Promise<void> {
  const iterator = events[Symbol.asyncIterator]()
  while ((await iterator.next()).done !== true);
}
