import fc from 'fast-check'
import { describe, expect, it, vi } from 'vitest'
import type { EngineStep } from '../../../node/engine/types.js'
import { ServedShard, type Lease, type ServedShardFacts, type ServedStep } from '../../../node/pipeline/served-shard.js'
import { ShardRegistry } from '../../../node/pipeline/shard-registry.js'
import { WaitingBytes } from '../../../node/trust/bytes.js'
import { LayerEngine } from './layer-engine.js'
import { settled, WANT_NOTHING } from './sessions.js'
import { LAYERS, MANIFEST } from './toy-mesh.js'

const SETTINGS = { context: 100, sequences: 3, batch: 16 }
const FILE = { file: 'toy', architecture: 'toy', start: 0, end: 3, layers: LAYERS }
const OFFER = { manifest: MANIFEST, file: FILE }
const STEP = { position: 0, rows: 1, tokens: Uint32Array.of(1), leave: 3, dtype: 'f16' as const, want: WANT_NOTHING }

async function served(): Promise<{ engine: LayerEngine; shard: ServedShard; facts: ServedShardFacts }> {
  const engine = new LayerEngine()
  const loaded = await engine.load(FILE, SETTINGS)
  const facts = { manifest: MANIFEST, range: { start: 0, end: 3 }, layers: LAYERS, loaded }
  return { engine, facts, shard: new ServedShard({ engine }, facts) }
}

describe('ServedShard', () => {
  it('lets a bounded number of bytes of one peer wait for the engine', async () => {
    const { engine, facts } = await served()
    const shard = new ServedShard({ engine, waiting: new WaitingBytes({ most: 8 }) }, facts)
    const [mine, also, other] = [shard.reserve(4, 'a'), shard.reserve(4, 'a'), shard.reserve(4, 'b')]
    const gate = Promise.withResolvers<undefined>()
    engine.beforeStep = () => gate.promise
    const first = mine.step({ ...STEP, rows: 2, tokens: Uint32Array.of(1, 2) })
    await expect(also.step(STEP)).rejects.toMatchObject({ code: 'QUEUE_FULL' })
    const others = other.step(STEP)
    gate.resolve(undefined)
    await Promise.all([first, others])
    await also.step(STEP)
  })

  it('tells of the steps of sessions and whose they are, not of those that measure it', async () => {
    const steps: ServedStep[] = []
    const shards = new ShardRegistry({ engine: new LayerEngine(), onStep: step => steps.push(step) }, SETTINGS)
    const shard = await shards.serve(OFFER)
    expect(steps).toEqual([])
    await shard.reserve(4, 'a').step({ ...STEP, rows: 2, tokens: Uint32Array.of(1, 2) })
    await shard.reserve(4).step(STEP)
    const times = { queued: expect.any(Number) as number, computed: expect.any(Number) as number }
    expect(steps).toEqual([
      { rows: 2, ...times, own: false },
      { rows: 1, ...times, own: true }
    ])
  })

  it('never leases one sequence twice at a time, nor more positions than it has', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.integer({ min: 1, max: 60 }), { maxLength: 30 }), async wishes => {
        const { engine, shard } = await served()
        const leases: { lease: Lease; context: number }[] = []
        for (const context of wishes) {
          try {
            leases.push({ lease: shard.reserve(context), context })
          } catch (error) {
            expect(error).toMatchObject({ code: context > shard.freeContext ? 'NO_CONTEXT' : 'NO_SEQUENCE' })
            await leases.shift()?.lease.release()
          }
          engine.steps.length = 0
          await Promise.all(leases.map(async ({ lease }) => lease.step(STEP)))
          const used = engine.steps.map(({ sequence }) => sequence)
          expect(new Set(used).size).toBe(leases.length)
          expect(shard.freeContext).toBe(100 - leases.reduce((sum, { context }) => sum + context, 0))
          expect(shard.sessions).toBe(leases.length)
        }
      }),
      { numRuns: 30 }
    )
  })

  it('has its whole room again as soon as it is calibrated', async () => {
    const { shard } = await served()
    await shard.calibrate()
    expect(shard).toMatchObject({ freeSessions: 3, freeContext: 100, queue: 0 })
    expect(shard.secondsPerLayer).toBeCloseTo(0.001 / 3)
  })

  it.each([
    [0, 3, false],
    [3, LAYERS, true]
  ])('is measured with layers %i to %i, and with the head where it has it', async (start, end, withHead) => {
    const engine = new LayerEngine()
    const shards = new ShardRegistry({ engine }, SETTINGS)
    await shards.serve({ ...OFFER, file: { ...FILE, start, end } })
    expect(engine.steps.some(({ want }) => want.rows > 0)).toBe(withHead)
  })

  it('has its whole room again when a calibration fails', async () => {
    const { engine, shard } = await served()
    engine.beforeStep = () => Promise.reject(new Error('no'))
    await expect(shard.calibrate()).rejects.toThrow('no')
    expect(shard).toMatchObject({ freeSessions: 3, freeContext: 100 })
  })

  it('releases once, after the last step under way, and takes no steps afterwards', async () => {
    const { engine, shard } = await served()
    const lease = shard.reserve(10)
    const gate = Promise.withResolvers<undefined>()
    engine.beforeStep = () => gate.promise
    const steps = [lease.step(STEP), lease.step({ ...STEP, position: 1 })]
    const releases = [lease.release(), lease.release()]
    await expect(lease.step(STEP)).rejects.toMatchObject({ code: 'RELEASED' })
    expect(engine.released).toEqual([])
    gate.resolve(undefined)
    await Promise.all([...steps, ...releases])
    expect(engine.released).toEqual([{ shard: shard.facts.loaded.id, sequence: 0 }])
    expect(shard).toMatchObject({ freeSessions: 3, freeContext: 100 })
  })

  it('gives room back although an engine that died cannot release', async () => {
    const { engine, shard } = await served()
    const lease = shard.reserve(10)
    engine.crash()
    await lease.release()
    expect(shard).toMatchObject({ freeSessions: 3, freeContext: 100 })
  })

  it('follows the speed of single-token steps and how many wait', async () => {
    const { engine, shard } = await served()
    const lease = shard.reserve(50)
    engine.times = { queued: 20, computed: 10 }
    await lease.step({ ...STEP, rows: 2, tokens: Uint32Array.of(1, 2) })
    expect(shard.secondsPerLayer).toBe(0)
    for (let position = 2; position < 50; position++) await lease.step({ ...STEP, position })
    expect(shard.secondsPerLayer).toBeCloseTo(0.01 / 3, 4)
    expect(shard.queue).toBeCloseTo(2, 1)
    await lease.release()
    expect(shard.queue).toBe(0)
  })
})

describe('ShardRegistry', () => {
  async function registry(): Promise<{ engine: LayerEngine; shards: ShardRegistry; changes: { count: number } }> {
    const engine = new LayerEngine()
    const shards = new ShardRegistry({ engine }, SETTINGS)
    const changes = { count: 0 }
    shards.addEventListener('change', () => changes.count++)
    await shards.serve(OFFER)
    engine.addEventListener('lost', () => shards.engineLost())
    return { engine, shards, changes }
  }

  it('finds the shard that is entered at a layer and reaches far enough', async () => {
    const { shards, changes } = await registry()
    expect(shards.find(MANIFEST, 0, 3)).toBe(shards.list()[0])
    expect(shards.find(MANIFEST, 0, 1)).toBe(shards.list()[0])
    expect(shards.find(MANIFEST, 1, 3)).toBeUndefined()
    expect(shards.find(MANIFEST, 0, 4)).toBeUndefined()
    expect(shards.find('cd'.repeat(32), 0, 3)).toBeUndefined()
    expect(changes.count).toBe(1)
  })

  it('is announced with all its room', async () => {
    const engine = new LayerEngine()
    const shards = new ShardRegistry({ engine }, SETTINGS)
    const rooms: (number | undefined)[] = []
    shards.addEventListener('change', () => rooms.push(shards.list()[0]?.freeSessions))
    await shards.serve(OFFER)
    expect(rooms).toEqual([3])
  })

  it('keeps nothing in the engine of a shard that cannot run', async () => {
    const engine = new LayerEngine()
    const shards = new ShardRegistry({ engine }, SETTINGS)
    engine.beforeStep = () => Promise.reject(new Error('NaN'))
    await expect(shards.serve(OFFER)).rejects.toThrow('NaN')
    expect([engine.loaded, shards.list().length, shards.offered(MANIFEST)]).toEqual([0, 0, undefined])
  })

  it('unloads what it withdraws, and no longer loads it after a restart', async () => {
    const { engine, shards } = await registry()
    await shards.withdraw(MANIFEST)
    expect([engine.loaded, shards.list().length, shards.offered(MANIFEST)]).toEqual([0, 0, undefined])
    engine.crash()
    engine.revive()
    await shards.engineReady()
    expect(engine.loaded).toBe(0)
  })

  it('serves nothing while the engine is gone and everything again afterwards', async () => {
    const { engine, shards, changes } = await registry()
    await shards.serve({ ...OFFER, file: { ...FILE, start: 3, end: 6 } })
    engine.crash()
    expect(shards.list()).toEqual([])
    expect(shards.offered(MANIFEST)).toEqual({ start: 0, end: 3 })
    engine.revive()
    await shards.engineReady()
    expect(shards.list().map(({ facts }) => facts.range.start)).toEqual([0, 3])
    expect(changes.count).toBe(5)
  })

  it('loads the others when one cannot be loaded again, and stops offering that one', async () => {
    const { engine, shards } = await registry()
    const other = 'cd'.repeat(32)
    await shards.serve({ manifest: other, file: { ...FILE, file: 'other' } })
    engine.crash()
    engine.beforeLoad = ({ file }) => file === 'toy' && Promise.reject(new Error('the file is gone'))
    engine.revive()
    await expect(shards.engineReady()).rejects.toMatchObject({ errors: [new Error('the file is gone')] })
    expect(shards.list().map(({ facts }) => facts.manifest)).toEqual([other])
    expect([shards.offered(MANIFEST), shards.offered(other)]).toEqual([undefined, { start: 0, end: 3 }])
  })

  it('does not load a file again that has changed meanwhile', async () => {
    const { engine, shards } = await registry()
    const changed = new Error('the file was changed')
    const check = vi.fn(() => Promise.reject(changed))
    await shards.serve({ manifest: 'cd'.repeat(32), file: { ...FILE, file: 'other' }, check })
    expect(check).not.toHaveBeenCalled()
    engine.crash()
    engine.revive()
    await expect(shards.engineReady()).rejects.toMatchObject({ errors: [changed] })
    expect([shards.list().length, engine.loaded]).toEqual([1, 1])
  })

  it('loads every shard once when the engine dies again in the middle of it', async () => {
    const { engine, shards } = await registry()
    await shards.serve({ manifest: 'cd'.repeat(32), file: { ...FILE, file: 'other' } })
    engine.crash()
    engine.revive()
    const gate = Promise.withResolvers<undefined>()
    engine.beforeStep = (step: EngineStep) => (step.position === 0 ? gate.promise : undefined)
    const first = shards.engineReady()
    await settled()
    engine.crash()
    engine.revive()
    gate.resolve(undefined)
    await Promise.all([first, shards.engineReady()])
    expect(shards.list()).toHaveLength(2)
    expect(engine.loaded).toBe(2)
  })

  it('does not bring back a shard that is withdrawn while it is loaded again', async () => {
    const { engine, shards } = await registry()
    engine.crash()
    engine.revive()
    const gate = Promise.withResolvers<undefined>()
    engine.beforeLoad = () => gate.promise
    const ready = shards.engineReady()
    await shards.withdraw(MANIFEST)
    gate.resolve(undefined)
    await ready
    expect([shards.list().length, engine.loaded]).toEqual([0, 0])
  })
})
