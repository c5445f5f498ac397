import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { RETIRE_MS } from '../../../node/pipeline/constants.js'
import { ShardRegistry } from '../../../node/pipeline/shard-registry.js'
import { LayerEngine } from './layer-engine.js'
import { MANIFEST } from './toy-mesh.js'

const offer = (start: number, end: number) => ({
  manifest: MANIFEST,
  file: { file: `${start}-${end}`, architecture: 'toy', start, end, layers: 6 }
})

async function twoShards() {
  const engine = new LayerEngine()
  const shards = new ShardRegistry({ engine }, { context: 100, sequences: 2, batch: 8 })
  const old = await shards.serve(offer(0, 3))
  await shards.serve(offer(3, 6))
  return { engine, shards, old }
}

describe('a shard that retires', () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  })
  afterEach(() => {
    vi.useRealTimers()
  })

  it('without sessions is unloaded at once', async () => {
    const { engine, shards, old } = await twoShards()
    await shards.retire(old)
    expect([engine.loaded, shards.list().length, shards.offered(MANIFEST)]).toEqual([1, 1, { start: 3, end: 6 }])
  })

  it('takes no new sessions, and is unloaded when the last one ends', async () => {
    const { engine, shards, old } = await twoShards()
    const leases = [old.reserve(8), old.reserve(8)]
    const retired = shards.retire(old)
    expect(shards.find(MANIFEST, 0, 3)).toBeUndefined()
    expect(shards.find(MANIFEST, 3, 6)).toBeDefined()
    await leases[0]?.release()
    expect(engine.loaded).toBe(2)
    await leases[1]?.release()
    await retired
    expect(engine.loaded).toBe(1)
    expect(vi.getTimerCount()).toBe(0)
  })

  it('is unloaded after a while, whoever still has a session on it', async () => {
    const { engine, shards, old } = await twoShards()
    old.reserve(8)
    const retired = shards.retire(old)
    await vi.advanceTimersByTimeAsync(RETIRE_MS - 1)
    expect(engine.loaded).toBe(2)
    await vi.advanceTimersByTimeAsync(1)
    await retired
    expect(engine.loaded).toBe(1)
  })

  it('is not loaded again by an engine that restarts', async () => {
    const { engine, shards, old } = await twoShards()
    const lease = old.reserve(8)
    const retired = shards.retire(old)
    engine.addEventListener('lost', () => shards.engineLost())
    engine.crash()
    engine.revive()
    await shards.engineReady()
    await lease.release()
    await retired
    expect(shards.list().map(({ facts }) => facts.range)).toEqual([{ start: 3, end: 6 }])
    expect(engine.loaded).toBe(1)
  })

  it('goes with the model when that is withdrawn', async () => {
    const { engine, shards, old } = await twoShards()
    const lease = old.reserve(8)
    const retired = shards.retire(old)
    await shards.withdraw(MANIFEST)
    expect(engine.loaded).toBe(0)
    await lease.release()
    await retired
    expect(shards.list()).toEqual([])
  })
})
