import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { EngineError } from '../../../node/engine/errors.js'
import { Holdings, type HoldingsSettings } from '../../../node/holding/holdings.js'
import { Intents } from '../../../node/holding/intents.js'
import { ShardLoader } from '../../../node/holding/shard-loader.js'
import { Tasks } from '../../../node/holding/tasks.js'
import { ShardRegistry } from '../../../node/pipeline/shard-registry.js'
import type { NodeView } from '../../../node/swarm/types.js'
import { LayerEngine } from '../pipeline/layer-engine.js'
import { held, nodeView } from '../pipeline/swarm-views.js'
import { MODEL_LAYERS, models, type Models } from './models.js'

const RETRY_MS = 30_000

class Views extends EventTarget {
  views: NodeView[] = []

  nodes(): NodeView[] {
    return this.views
  }

  refresh(): Promise<void> {
    return Promise.resolve()
  }

  show(...views: NodeView[]): void {
    this.views = views
    this.dispatchEvent(new Event('change'))
  }
}

let model: Models
const running: Holdings[] = []

beforeEach(async () => {
  model = await models()
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date'] })
})

afterEach(async () => {
  for (const holdings of running.splice(0)) await holdings.stop()
  vi.useRealTimers()
  await model[Symbol.asyncDispose]()
})

function node({ bytes = 1e9, ...settings }: Partial<HoldingsSettings> & { bytes?: number } = {}) {
  const engine = new LayerEngine()
  const shards = new ShardRegistry({ engine }, { context: 64, sequences: 2, batch: 16 })
  const directory = new Views()
  const logger = { info: vi.fn(), warn: vi.fn() }
  const { store, library } = model
  const [intents, tasks] = [new Intents(), new Tasks({ logger })]
  const loader = new ShardLoader({ store, shards, library, tasks }, { context: 64 })
  const holdings = new Holdings(
    { store, shards, loader, intents, directory, memory: { bytes }, logger },
    { models: [], layers: undefined, ...settings }
  )
  running.push(holdings)
  return { engine, shards, directory, logger, intents, tasks, holdings }
}

/** Files are read and written for real, perhaps on a busy machine. */
const soon = (check: () => void): Promise<void> => vi.waitFor(check, 10_000)

/** A fetch that only its signal ends. */
const endless = (signal: AbortSignal): Promise<undefined> =>
  new Promise((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason as Error))
  })

/** Somebody who has all pieces of the model and serves nothing. */
const offer = (): NodeView =>
  nodeView('owner', [
    held({ manifest: model.id, name: 'Tiny', layers: MODEL_LAYERS, cuts: [2, 4, 6], pieces: [{ start: 0, end: 8 }] })
  ])

/** The first thing that holding a model asks for is its header: nobody does, however long the model is offered. */
async function expectNoHold(directory: Views): Promise<void> {
  const header = vi.spyOn(model.library, 'header')
  directory.show(offer())
  await vi.advanceTimersByTimeAsync(2 * RETRY_MS)
  expect(header).not.toHaveBeenCalled()
  header.mockRestore()
}

const WHOLE = { start: 0, end: 8 }

describe('Holdings', () => {
  it('fetches, loads and serves what the swarm offers, and shows what it does meanwhile', async () => {
    const { holdings, directory, shards, tasks } = node()
    const seen: string[] = []
    tasks.addEventListener('change', () =>
      seen.push(
        tasks
          .list()
          .map(({ what }) => what)
          .join()
      )
    )
    holdings.start()
    directory.show(offer())
    await soon(() => expect(shards.list()).toHaveLength(1))
    expect(shards.find(model.id, 0, 8)?.facts.range).toEqual(WHOLE)
    await soon(() => expect(tasks.list()).toEqual([]))
    expect(seen).toEqual(['fetching', '', 'loading', ''])
    expect(holdings.usedBytes).toBeGreaterThan(0)
    expect(model.store.get(model.id)?.shards.map(({ range }) => range)).toEqual([WHOLE])
  })

  it('holds by itself only the models that its owner names, by name or by hash', async () => {
    const others = node({ models: ['another', model.id.slice(0, 4)] })
    others.holdings.start()
    await expectNoHold(others.directory)
    for (const named of ['TINY', model.id.slice(0, 8)]) {
      const { holdings, directory, shards } = node({ models: ['another', named] })
      holdings.start()
      directory.show(offer())
      await soon(() => expect(shards.list()).toHaveLength(1))
    }
  })

  it('serves what is in the store, although nobody is there', async () => {
    const first = node({ layers: { start: 2, end: 6 } })
    await first.holdings.hold(model.id)
    await first.holdings.stop()
    const second = node()
    second.holdings.start()
    await soon(() => expect(second.shards.list()).toHaveLength(1))
    expect(second.shards.list()[0]?.facts.range).toEqual({ start: 2, end: 6 })
  })

  it('holds a model once, however often it is asked', async () => {
    const { holdings, engine, directory } = node()
    holdings.start()
    directory.show(offer())
    const ranges = await Promise.all([holdings.hold(model.id), holdings.hold(model.id)])
    expect(ranges).toEqual([WHOLE, WHOLE])
    expect(engine.loaded).toBe(1)
  })

  it('waits for an engine that restarts instead of loading a second shard', async () => {
    const { holdings, engine, shards, directory } = node()
    await holdings.hold(model.id)
    holdings.start()
    engine.addEventListener('lost', () => shards.engineLost())
    engine.crash()
    directory.show(offer())
    await vi.advanceTimersByTimeAsync(RETRY_MS)
    expect(await holdings.hold(model.id)).toEqual(WHOLE)
    engine.revive()
    await shards.engineReady()
    expect([shards.list().length, engine.loaded]).toEqual([1, 1])
  })

  it('does not hold more than the owner gives', async () => {
    const { holdings, tasks } = node({ bytes: 1_000 })
    await expect(holdings.hold(model.id)).rejects.toMatchObject({ code: 'MEMORY_TOO_SMALL' })
    expect([holdings.usedBytes, tasks.list()]).toEqual([0, []])
  })

  it('goes on after a failure, and tries again after a while', async () => {
    const { holdings, shards, directory, logger, tasks } = node()
    model.beforeRange.run = () => Promise.reject(new Error('nobody has the pieces'))
    holdings.start()
    directory.show(offer())
    await soon(() => expect(logger.warn).toHaveBeenCalledTimes(1))
    expect(logger.warn.mock.lastCall?.[0]).toMatchObject({ reason: 'nobody has the pieces' })
    directory.show(offer())
    await vi.advanceTimersByTimeAsync(1_000)
    expect(logger.warn).toHaveBeenCalledTimes(1)
    model.beforeRange.run = () => undefined
    await vi.advanceTimersByTimeAsync(RETRY_MS)
    await soon(() => expect(shards.list()).toHaveLength(1))
    expect(tasks.list()).toEqual([])
  })

  it('tries a model once at a time, however often the directory changes meanwhile', async () => {
    const { holdings, directory, logger } = node()
    const fetched = Promise.withResolvers<undefined>()
    let fetches = 0
    model.beforeRange.run = () => {
      fetches++
      return fetched.promise
    }
    holdings.start()
    for (let n = 0; n < 5; n++) {
      directory.show(offer())
      await vi.advanceTimersByTimeAsync(RETRY_MS)
    }
    await soon(() => expect(fetches).toBe(1))
    fetched.reject(new Error('the holder is gone'))
    await soon(() => expect(logger.warn).toHaveBeenCalled())
    directory.show(offer())
    await vi.advanceTimersByTimeAsync(RETRY_MS / 2)
    expect([fetches, logger.warn.mock.calls.length]).toEqual([1, 1])
  })

  it('leaves a model alone for longer and longer when the engine dies of it', async () => {
    const { holdings, engine, directory, logger } = node()
    engine.beforeLoad = () => Promise.reject(new EngineError('ENGINE_LOST', 'the process ended by SIGABRT'))
    holdings.start()
    directory.show(offer())
    for (const [times, minutes] of [
      [1, 10],
      [2, 20],
      [3, 40]
    ] as const) {
      await soon(() => expect(logger.warn).toHaveBeenCalledTimes(times))
      expect(logger.warn.mock.lastCall?.[0]).toMatchObject({ retryInSeconds: minutes * 60 })
      await vi.advanceTimersByTimeAsync(minutes * 60_000 - 2 * RETRY_MS)
      expect(logger.warn).toHaveBeenCalledTimes(times)
      await vi.advanceTimersByTimeAsync(3 * RETRY_MS)
    }
  })

  it('fetches and loads again a shard that a restarted engine could not load', async () => {
    const { holdings, engine, shards, directory } = node()
    await holdings.hold(model.id)
    const used = holdings.usedBytes
    holdings.start()
    engine.addEventListener('lost', () => shards.engineLost())
    engine.crash()
    engine.revive()
    engine.beforeLoad = () => Promise.reject(new Error('out of memory'))
    await expect(shards.engineReady()).rejects.toBeInstanceOf(AggregateError)
    engine.beforeLoad = () => undefined
    directory.show(offer())
    await soon(() => expect(shards.list()).toHaveLength(1))
    await soon(() => expect(holdings.usedBytes).toBe(used))
  })

  it('forgets a model that is removed, and does not hold it again by itself', async () => {
    const { holdings, engine, shards, directory } = node()
    holdings.start()
    directory.show(offer())
    await soon(() => expect(shards.list()).toHaveLength(1))
    await holdings.remove(model.id)
    expect([shards.list(), model.store.list(), engine.loaded, holdings.usedBytes]).toEqual([[], [], 0, 0])
    await expectNoHold(directory)
    expect(await holdings.hold(model.id)).toEqual(WHOLE)
  })

  it('does not go on fetching what is removed, nor hold it again', async () => {
    const { holdings, shards, directory, logger, tasks } = node()
    model.beforeRange.run = endless
    holdings.start()
    directory.show(offer())
    await soon(() => expect(tasks.list()).toHaveLength(1))
    const asked = expect(holdings.hold(model.id)).rejects.toMatchObject({ code: 'REMOVED' })
    await holdings.remove(model.id)
    await asked
    await expectNoHold(directory)
    expect([shards.list(), tasks.list()]).toEqual([[], []])
    expect(logger.warn).not.toHaveBeenCalled()
  })

  it('unloads all when it is suspended, keeps the files, and serves the same layers again', async () => {
    const { holdings, engine, shards } = node()
    holdings.start()
    await holdings.hold(model.id, { start: 2, end: 6 })
    const used = holdings.usedBytes
    await holdings.suspend()
    expect([shards.list(), engine.loaded, holdings.usedBytes]).toEqual([[], 0, 0])
    expect(model.store.get(model.id)?.shards).toHaveLength(1)
    holdings.restore()
    await soon(() => expect(shards.list().map(({ facts }) => facts.range)).toEqual([{ start: 2, end: 6 }]))
    await soon(() => expect(holdings.usedBytes).toBe(used))
  })

  it('holds nothing while it is suspended, and then what it was asked for meanwhile', async () => {
    const { holdings, shards, directory } = node()
    await holdings.suspend()
    holdings.start()
    await expectNoHold(directory)
    await expect(holdings.hold(model.id, { start: 0, end: 4 })).rejects.toMatchObject({ code: 'PAUSED' })
    holdings.restore()
    await soon(() => expect(shards.list().map(({ facts }) => facts.range)).toEqual([{ start: 0, end: 4 }]))
  })

  it('is suspended in the middle of a fetch, and goes on with it later', async () => {
    const { holdings, shards, directory, logger, tasks } = node()
    model.beforeRange.run = endless
    holdings.start()
    directory.show(offer())
    await soon(() => expect(tasks.list()).toMatchObject([{ what: 'fetching' }]))
    await holdings.suspend()
    expect(tasks.list()).toEqual([])
    expect(logger.warn).not.toHaveBeenCalled()
    model.beforeRange.run = () => undefined
    holdings.restore()
    await soon(() => expect(shards.list()).toHaveLength(1))
  })

  it('does not hold again what is removed while it is suspended', async () => {
    const { holdings, shards, directory } = node()
    await holdings.hold(model.id)
    await holdings.suspend()
    await holdings.remove(model.id)
    holdings.restore()
    await expectNoHold(directory)
    expect(shards.list()).toEqual([])
  })

  it('stops in the middle of a fetch, without a warning and without trying again', async () => {
    const { holdings, directory, logger, tasks } = node()
    model.beforeRange.run = endless
    holdings.start()
    directory.show(offer())
    await soon(() => expect(tasks.list()).toMatchObject([{ what: 'fetching', model: 'Tiny' }]))
    await holdings.stop()
    await holdings.stop()
    expect(tasks.list()).toEqual([])
    expect(logger.warn).not.toHaveBeenCalled()
    await expect(holdings.hold(model.id)).rejects.toThrow('shutting down')
    expect(vi.getTimerCount()).toBe(0)
  })
})
