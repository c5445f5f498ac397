import { publicKeyToProtobuf } from '@libp2p/crypto/keys'
import { multiaddr } from '@multiformats/multiaddr'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { recordSelectors, recordValidators } from '../../../node/swarm/dht-records.js'
import { layerKeys, SwarmDht } from '../../../node/swarm/dht.js'
import { createIdentity, type Identity } from '../../../node/swarm/identity.js'
import { libp2pLogger } from '../../../node/swarm/libp2p-logger.js'
import { createSwarmLibp2p, type SwarmLibp2p } from '../../../node/swarm/libp2p.js'
import { Trust } from '../../../node/trust/trust.js'
import { RecordBook } from '../../../node/swarm/record-book.js'
import type { HeldModel } from '../../../protocol/node-record.js'
import { shard } from '../pipeline/swarm-views.js'
import { silent } from './nodes.js'
import { envelope, NOW, SWARM } from './records.js'

interface DhtNode {
  identity: Identity
  book: RecordBook
  dht: SwarmDht
  libp2p: SwarmLibp2p
}

const started: SwarmLibp2p[] = []
const { signal } = new AbortController()

afterEach(async () => {
  for (const libp2p of started.splice(0)) await libp2p.stop()
})

async function startDht(bootstrap?: DhtNode): Promise<DhtNode> {
  const identity = await createIdentity()
  const book = new RecordBook({ now: () => NOW, onChange: () => undefined, isKept: () => false }, { swarm: SWARM })
  const libp2p = await createSwarmLibp2p({
    ...{ swarm: SWARM, key: undefined, privateKey: identity.privateKey, agent: 'flambeau/test' },
    ...{ listen: ['/ip4/127.0.0.1/tcp/0'], announce: [], mdns: false, upnp: false, relay: false, dhtClient: false },
    ...{
      gater: {},
      validators: recordValidators({ book, trust: new Trust() }),
      selectors: recordSelectors(),
      datastore: undefined,
      metrics: undefined
    },
    guard: handler => handler,
    logger: libp2pLogger(silent)
  })
  started.push(libp2p)
  await libp2p.start()
  if (bootstrap !== undefined) await libp2p.dial(multiaddr(String(bootstrap.libp2p.getMultiaddrs()[0])))
  const dht = new SwarmDht({ dht: () => libp2p.services.dht, logger: silent }, { swarm: SWARM })
  return { identity, book, dht, libp2p }
}

/** Three nodes that know each other through the first one, whose tables are filled. */
async function startThree(): Promise<[DhtNode, DhtNode, DhtNode]> {
  const first = await startDht()
  const [second, third] = [await startDht(first), await startDht(first)]
  await vi.waitFor(async () => {
    for (const { dht, identity } of [second, third]) {
      await dht.provide([], signal)
      for (const other of [first, second, third]) expect(await other.dht.members(signal)).toContain(identity.peer)
    }
  }, 10_000)
  return [first, second, third]
}

const model: HeldModel = {
  ...{ manifest: 'ab'.repeat(32), name: 'm', architecture: 'llama', layers: 40, cuts: [], pieces: [] },
  shards: [shard(6, 17)]
}

describe('SwarmDht', () => {
  it('stores a record where others find it', async () => {
    const [, second, third] = await startThree()
    const { peer } = second.identity
    await second.dht.store(peer, await envelope({ name: 'stored' }, second.identity), signal)
    third.book.sweep()
    await third.dht.fetch(peer, signal)
    expect(third.book.get(peer)?.record.name).toBe('stored')
  })

  it('keeps forged and rolled-back records from being stored', async () => {
    const [first, second, third] = await startThree()
    const { peer } = second.identity
    await second.dht.store(peer, await envelope({ name: 'new', sequence: NOW + 5 }, second.identity), signal)
    await vi.waitFor(() => expect(first.book.get(peer)?.record.name).toBe('new'))
    await third.dht.store(peer, await envelope({ name: 'forged', sequence: NOW + 9 }, third.identity), signal)
    await third.dht.store(peer, await envelope({ name: 'old', sequence: NOW }, second.identity), signal)
    expect(first.book.get(peer)?.record.name).toBe('new')
    expect(first.book.get(third.identity.peer)).toBeUndefined()
    const late = await startDht(first)
    await late.dht.fetch(peer, signal)
    expect(late.book.get(peer)?.record.name).toBe('new')
  })

  it('stores no public keys: kad-dht would take them with anything behind them', async () => {
    const [, second] = await startThree()
    const { publicKey } = second.identity.privateKey
    const padding = new Uint8Array(10_000)
    const key = Buffer.concat([Buffer.from('/pk/'), publicKey.toMultihash().bytes])
    const value = Buffer.concat([publicKeyToProtobuf(publicKey), padding])
    const stored: unknown[] = []
    for await (const event of second.libp2p.services.dht.put(key, value, { signal })) {
      if (event.name === 'PEER_RESPONSE' && event.messageName === 'PUT_VALUE') stored.push(event)
    }
    expect(stored).toEqual([])
  })

  it('finds who serves a layer', async () => {
    const [first, second, third] = await startThree()
    await second.dht.provide([model], signal)
    expect(await third.dht.holders(model.manifest, 16, signal)).toEqual([second.identity.peer])
    expect(await first.dht.holders(model.manifest, 0, signal)).toEqual([second.identity.peer])
    expect(await third.dht.holders(model.manifest, 24, signal)).toEqual([])
  })

  it('gives up soon without anybody to ask', async () => {
    const { dht } = await startDht()
    expect(await dht.members(signal)).toEqual([])
    // Nothing of this is waited for once the node stops.
    await dht.provide([model], AbortSignal.abort(new Error('stopped')))
  })
})

describe('layerKeys', () => {
  it('names every bucket that a shard touches, once', () => {
    expect(layerKeys([model, model]).map(key => key.split('/').at(-1))).toEqual(['0', '1', '2'])
    expect(layerKeys([{ ...model, shards: [] }])).toEqual([])
  })
})
