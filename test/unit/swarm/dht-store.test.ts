import { describe, expect, it } from 'vitest'
import { DhtStore } from '../../../node/swarm/dht-store.js'

type Key = Parameters<DhtStore['put']>[0]

function key(name: string): Key {
  const used: Pick<Key, 'toString' | 'uint8Array'> = {
    toString: () => name,
    uint8Array: () => new TextEncoder().encode(name)
  }
  return used as Key
}

/** Names of what is stored. */
function names(store: DhtStore, prefix?: string): string[] {
  return [...store.query(prefix === undefined ? {} : { prefix })].map(entry => entry.key.toString())
}

describe('DhtStore', () => {
  it('gives back what was put, by key and by prefix', () => {
    const store = new DhtStore({ owner: 'me' })
    store.put(key('/dht/record/a'), Uint8Array.of(1))
    store.put(key('/dht/record/a'), Uint8Array.of(2))
    store.put(key('/dht/provider/c/other'), Uint8Array.of(3))
    expect(store.get(key('/dht/record/a'))).toEqual(Uint8Array.of(2))
    expect(names(store)).toEqual(['/dht/record/a', '/dht/provider/c/other'])
    expect(names(store, '/dht/provider/c')).toEqual(['/dht/provider/c/other'])
    store.delete(key('/dht/record/a'))
    // kad-dht tells a missing value by this name.
    expect(() => store.get(key('/dht/record/a'))).toThrow(expect.objectContaining({ name: 'NotFoundError' }) as Error)
  })

  it('drops what was put longest ago when it is full, and nothing of its owner', () => {
    const store = new DhtStore({ owner: 'me', maxEntries: 3 })
    for (const name of ['/p/c/me', '/p/c/first', '/p/c/second', '/p/c/first', '/p/c/third']) {
      store.put(key(name), new Uint8Array(8))
    }
    expect(names(store)).toEqual(['/p/c/me', '/p/c/first', '/p/c/third'])
  })

  it('refuses what is larger than a node record, in key and value together', () => {
    const store = new DhtStore({ owner: 'me' })
    const tooLarge = expect.objectContaining({ code: 'FRAME_TOO_LARGE' }) as Error
    expect(() => store.put(key('/dht/record/a'), new Uint8Array(20_000))).toThrow(tooLarge)
    expect(() => store.put(key(`/dht/provider/${'c'.repeat(20_000)}/x`), new Uint8Array(8))).toThrow(tooLarge)
    expect(names(store)).toEqual([])
  })

  it('holds a bounded number of bytes', () => {
    const store = new DhtStore({ owner: 'me' })
    for (let put = 0; put < 2_000; put++) store.put(key(`/dht/record/${put}`), new Uint8Array(16_384))
    expect(names(store).length).toBeLessThanOrEqual(1_024)
    expect(names(store).at(-1)).toBe('/dht/record/1999')
  })
})
