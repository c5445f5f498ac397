import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { Holdings } from '../../../node/holding/holdings.js'
import { Intents } from '../../../node/holding/intents.js'
import { Rebalancer, type RebalancerParts } from '../../../node/holding/rebalancer.js'
import { ShardLoader } from '../../../node/holding/shard-loader.js'
import { Tasks } from '../../../node/holding/tasks.js'
import type { LayerRange } from '../../../node/models/types.js'
import { ShardRegistry } from '../../../node/pipeline/shard-registry.js'
import { rebalance, SETTLE_SECONDS } from '../../../node/scheduler/rebalance.js'
import type { HeldModel, NodeView } from '../../../node/swarm/types.js'
import { LayerEngine } from '../pipeline/layer-engine.js'
import { held, nodeView, shard } from '../pipeline/swarm-views.js'
import { MODEL_LAYERS, models, type Models } from './models.js'

const HALF = { start: 0, end: 4 }
const OTHER_HALF = { start: 4, end: 8 }

let model: Models
const running: Rebalancer[] = []
/** For which the node has served its layers when it looks: what it can gain here pays then. */
const SERVED_MILLISECONDS = 7_200_000
const HOUR = 3_600_000

beforeEach(async () => {
  model = await models()
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date'] })
})

afterEach(async () => {
  for (const rebalancer of running.splice(0)) await rebalancer.stop()
  vi.useRealTimers()
  await model[Symbol.asyncDispose]()
})

/** A node that serves the first half, and whose memory has room for `halves` of them. */
async function node(peer: string, { halves = 1, pinned }: { halves?: number; pinned?: LayerRange } = {}) {
  const engine = new LayerEngine()
  const shards = new ShardRegistry({ engine }, { context: 64, sequences: 2, batch: 16 })
  const directory = Object.assign(new EventTarget(), {
    views: [] as NodeView[],
    nodes: (): NodeView[] => directory.views,
    refresh: () => Promise.resolve()
  })
  const logger = { info: vi.fn(), warn: vi.fn() }
  const [intents, tasks] = [new Intents(), new Tasks({ logger })]
  const memory = { bytes: 1e9 }
  const { store, library } = model
  const loader = new ShardLoader({ store, shards, library, tasks }, { context: 64 })
  const parts = { store, shards, loader, intents, directory, memory, logger }
  const holdings = new Holdings(parts, { models: [], layers: HALF })
  await holdings.hold(model.id, HALF)
  intents.pin(model.id, pinned !== undefined)
  // The ends of a model are a little larger than the rest of it.
  memory.bytes = holdings.usedBytes * halves * 1.3
  const decide: RebalancerParts['decide'] = request => Promise.resolve(rebalance(request))
  const rebalancer = new Rebalancer({ ...parts, holdings, decide }, { peer: () => peer, random: () => 0.5 })
  running.push(rebalancer)
  rebalancer.start()
  vi.setSystemTime(Date.now() + SERVED_MILLISECONDS)
  const claim = (): LayerRange | undefined => intents.of(model.id).claim
  const ranges = (): LayerRange[] => shards.list().map(({ facts }) => facts.range)
  return { engine, shards, directory, logger, holdings, rebalancer, claim, ranges }
}

function holder(peer: string, ranges: LayerRange[], changes: Partial<HeldModel> = {}): NodeView {
  const shards = ranges.map(({ start, end }) => shard(start, end))
  return nodeView(peer, [
    held({ manifest: model.id, name: 'Tiny', layers: MODEL_LAYERS, cuts: [2, 4, 6], shards, ...changes })
  ])
}

/** Looks, and lets time pass until the look is over. */
async function look({ rebalancer }: { rebalancer: Rebalancer }, meanwhile: () => void = () => undefined) {
  let isOver = false
  const looked = rebalancer.look().finally(() => (isOver = true))
  await vi.waitFor(() => expect(isOver || vi.getTimerCount() > 1).toBe(true), 10_000)
  meanwhile()
  await vi.advanceTimersByTimeAsync(SETTLE_SECONDS * 1_000)
  await vi.waitFor(() => expect(isOver).toBe(true), 10_000)
  await looked
}

describe('Rebalancer', () => {
  it('moves from layers that another node serves too to those that nobody does, and says so first', async () => {
    const here = await node('b')
    here.directory.views = [holder('a', [HALF])]
    let claim: LayerRange | undefined
    await look(here, () => (claim = here.claim()))
    expect(claim).toEqual(OTHER_HALF)
    expect([here.ranges(), here.claim(), here.engine.loaded]).toEqual([[OTHER_HALF], undefined, 1])
    expect(model.store.get(model.id)?.shards.map(({ range }) => range)).toEqual([OTHER_HALF])
    expect(here.logger.warn).not.toHaveBeenCalled()
  })

  it('stays when nobody else serves its layers, or somebody serves the others', async () => {
    const here = await node('b')
    await look(here)
    here.directory.views = [holder('a', [HALF]), holder('c', [OTHER_HALF])]
    await look(here)
    expect(here.ranges()).toEqual([HALF])
  })

  it('stays on layers that its owner chose', async () => {
    const here = await node('b', { pinned: HALF })
    here.directory.views = [holder('a', [HALF])]
    await look(here)
    expect(here.ranges()).toEqual([HALF])
  })

  it.each([
    ['gives way to a peer whose id comes first, and which claimed the same layers at the same time', 'a', HALF],
    ['goes on when the other one will give way', 'c', OTHER_HALF]
  ])('%s', async (_, other, expected) => {
    const here = await node('b')
    here.directory.views = [holder(other, [HALF])]
    model.beforeRange.run = () => (here.directory.views = [holder(other, [HALF])])
    await look(here, () => {
      here.directory.views = [holder(other, [HALF], { claim: OTHER_HALF })]
    })
    expect([here.ranges(), here.claim()]).toEqual([[expected], undefined])
  })

  it('waits with old layers on which there is a session, and does not take new ones of them afterwards', async () => {
    const here = await node('b')
    here.directory.views = [holder('a', [HALF])]
    const [old] = here.shards.list()
    const lease = old?.reserve(8)
    const relieved = vi.fn()
    here.shards.addEventListener('relieve', relieved)
    const looked = here.rebalancer.look()
    await vi.waitFor(() => expect(here.claim()).toEqual(OTHER_HALF), 10_000)
    await vi.advanceTimersByTimeAsync(SETTLE_SECONDS * 1_000)
    await vi.waitFor(async () => {
      await vi.advanceTimersByTimeAsync(0)
      expect(model.store.get(model.id)?.shards).toHaveLength(2)
    }, 10_000)
    expect(here.ranges()).toEqual([HALF])
    await vi.waitFor(() => expect(relieved).toHaveBeenCalled(), 10_000)
    await lease?.release()
    await vi.waitFor(async () => {
      await vi.advanceTimersByTimeAsync(1_000)
      expect(here.ranges()).toEqual([OTHER_HALF])
    }, 10_000)
    await looked
  })

  it('with room for both serves the new layers while the sessions on the old ones go on', async () => {
    const here = await node('b', { halves: 2 })
    here.directory.views = [holder('a', [HALF]), holder('c', [{ start: 0, end: 2 }])]
    const [old] = here.shards.list()
    const lease = old?.reserve(8)
    await look(here)
    expect(here.ranges().map(({ end }) => end)).toEqual([8])
    expect(here.shards.find(model.id, 0, 4)).toBeUndefined()
    expect(here.engine.loaded).toBe(2)
    await lease?.release()
    await vi.waitFor(() => expect(here.engine.loaded).toBe(1), 10_000)
  })

  it('keeps the old layers when the new ones cannot be fetched', async () => {
    const here = await node('b')
    here.directory.views = [holder('a', [HALF])]
    model.beforeRange.run = () => Promise.reject(new Error('nobody has the pieces'))
    await look(here)
    expect([here.ranges(), here.claim()]).toEqual([[HALF], undefined])
    expect(here.logger.warn.mock.lastCall?.[0]).toMatchObject({ reason: 'nobody has the pieces' })
  })

  it('lets another one move first that the plan wants to, and moves itself where that one does not for a day and a half', async () => {
    const here = await node('b')
    const other = holder('a', [HALF])
    other.record.hardware.memoryBytes = here.holdings.usedBytes * 1.3
    const slow = holder('c', [], { shards: [shard(4, 8, { secondsPerLayer: 0.01 })] })
    here.directory.views = [other, slow]
    await look(here)
    vi.setSystemTime(Date.now() + 35 * HOUR)
    await look(here)
    expect(here.ranges()).toEqual([HALF])
    vi.setSystemTime(Date.now() + HOUR)
    await look(here)
    expect(here.ranges()).toEqual([OTHER_HALF])
  })

  it('leaves layers that are missing for an hour to a peer that claims them and does not come', async () => {
    const here = await node('b')
    here.directory.views = [holder('a', [HALF]), holder('c', [], { claim: OTHER_HALF })]
    await look(here)
    vi.setSystemTime(Date.now() + HOUR / 2)
    await look(here)
    expect(here.ranges()).toEqual([HALF])
    vi.setSystemTime(Date.now() + HOUR / 2)
    await look(here)
    expect(here.ranges()).toEqual([OTHER_HALF])
  })

  it('looks soon where layers have lost their last holder', async () => {
    const here = await node('b')
    here.directory.views = [holder('a', [HALF]), holder('c', [OTHER_HALF])]
    here.directory.dispatchEvent(new Event('change'))
    await vi.advanceTimersByTimeAsync(20_000)
    expect(here.claim()).toBeUndefined()
    here.directory.views = [holder('a', [HALF])]
    here.directory.dispatchEvent(new Event('change'))
    await vi.advanceTimersByTimeAsync(20_000)
    await vi.waitFor(() => expect(here.claim()).toEqual(OTHER_HALF), 10_000)
    await vi.waitFor(async () => {
      await vi.advanceTimersByTimeAsync(1_000)
      expect(here.ranges()).toEqual([OTHER_HALF])
    }, 10_000)
  })

  it('looks by itself now and then, and not any more once it is stopped', async () => {
    const here = await node('b')
    here.directory.views = [holder('a', [HALF])]
    await vi.waitFor(async () => {
      await vi.advanceTimersByTimeAsync(10_000)
      expect(here.ranges()).toEqual([OTHER_HALF])
    }, 10_000)
    await here.rebalancer.stop()
    expect(vi.getTimerCount()).toBe(0)
  })
})
