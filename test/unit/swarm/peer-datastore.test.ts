import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { PeerDatastore } from '../../../node/swarm/peer-datastore.js'
import { type TemporaryFolder, temporaryFolder } from '../../support/temporary.js'

type Key = Parameters<PeerDatastore['get']>[0]

let folder: TemporaryFolder
let store: PeerDatastore

beforeEach(async () => {
  folder = await temporaryFolder()
  store = await opened()
})

afterEach(async () => {
  await store.close()
  await folder.remove()
})

async function opened(): Promise<PeerDatastore> {
  const datastore = new PeerDatastore(folder.file('peers'))
  await datastore.open()
  return datastore
}

function key(name: string | number): Key {
  const used: Pick<Key, 'toString'> = { toString: () => `/peers/${name}` }
  return used as Key
}

const value = (byte: number): Uint8Array => Uint8Array.of(byte)
const read = async (name: string | number): Promise<number[]> => Array.from(await store.get(key(name)))

describe('PeerDatastore', () => {
  it('gives what was put last, also after it was closed', async () => {
    await store.put(key('a'), value(1))
    await store.put(key('a'), value(2))
    expect(await read('a')).toEqual([2])
    await store.close()
    store = await opened()
    expect(await store.has(key('a'))).toBe(true)
    for (let i = 0; i < 2; i++) expect(await read('a')).toEqual([2])
  })

  it('forgets what is deleted', async () => {
    await store.put(key('a'), value(1))
    await store.delete(key('a'))
    expect(await store.has(key('a'))).toBe(false)
    await expect(store.get(key('a'))).rejects.toThrow(/not found/i)
  })

  it('does not give an old value where a new one is put while it reads', async () => {
    await store.put(key('a'), value(1))
    await store.close()
    store = await opened()
    const reading = store.get(key('a'))
    await store.put(key('a'), value(2))
    await reading
    expect(await read('a')).toEqual([2])
  })

  it('has more than fits into its memory', async () => {
    for (let i = 0; i < 1_100; i++) await store.put(key(i), value(i % 256))
    for (const i of [0, 50, 1_099]) expect(await read(i)).toEqual([i % 256])
  })
})
