import { copyFile, readdir, truncate, writeFile } from 'node:fs/promises'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { ShareEvent } from '../../../node/control/contract.js'
import type { EngineInfo } from '../../../node/engine/types.js'
import { Sharer } from '../../../node/holding/share.js'
import { ModelStore } from '../../../node/models/store.js'
import { EMBER } from '../../support/models.js'
import { temporaryFolder, type TemporaryFolder } from '../../support/temporary.js'
import { writeTinyModel } from '../../support/tiny-model.js'
import { ToyEngine, type ToyEngineOptions } from '../../support/toy-engine.js'

/** Counts whether it was stopped. */
class OwnEngine extends ToyEngine {
  stopped = 0
  startError: Error | undefined

  start(): Promise<EngineInfo> {
    if (this.startError !== undefined) return Promise.reject(this.startError)
    return Promise.resolve({ backend: 'cpu', version: 'toy', devices: [] })
  }

  stop(): Promise<void> {
    this.stopped++
    return Promise.resolve()
  }
}

let folder: TemporaryFolder
let store: ModelStore

beforeEach(async () => {
  folder = await temporaryFolder()
  store = new ModelStore({ root: folder.file('models') })
  await store.start()
})

afterEach(async () => {
  await folder.remove()
})

function sharer(options: ToyEngineOptions = {}) {
  const engine = new OwnEngine(options)
  const shared: string[] = []
  const parts = { store, makeEngine: () => engine, onShared: (id: string) => shared.push(id) }
  return { engine, shared, sharer: new Sharer(parts, { folder: folder.path }) }
}

async function eventsOf(subject: Sharer, file: string, { name, signal }: { name?: string; signal?: AbortSignal } = {}) {
  const events: ShareEvent[] = []
  const request = { file, ...(name === undefined ? {} : { name }) }
  for await (const event of subject.share(request, { signal: signal ?? new AbortController().signal }))
    events.push(event)
  return events
}

const tiny = async (layers = 4): Promise<string> => {
  const { file } = await writeTinyModel(folder.file('model.gguf'), { architecture: 'llama', layers })
  return file
}

describe('sharing a model', () => {
  it('reads, checks and hashes it, and puts it into the store', async () => {
    const { sharer: subject, engine, shared } = sharer()
    const events = await eventsOf(subject, await tiny(), { name: 'Mine' })
    const phases = events.map(event => (event.event === 'progress' ? event.phase : event.event))
    expect([...new Set(phases)]).toEqual(['reading', 'checking', 'hashing', 'shared'])
    const last = events.at(-1)
    if (last?.event !== 'shared') throw new Error('not shared')
    expect(last).toMatchObject({ model: 'Mine', layers: 4, cuts: [1, 2, 3] })
    expect(shared).toEqual([last.manifest])
    expect(store.get(last.manifest)?.manifest.name).toBe('Mine')
    expect([engine.stopped, engine.loaded]).toEqual([1, 0])
    expect((await readdir(folder.path)).sort()).toEqual(['model.gguf', 'models'])
  })

  it('does not share a model that answers differently when it is cut', async () => {
    const { sharer: subject, engine, shared } = sharer({ error: 0.5 })
    await expect(eventsOf(subject, await tiny())).rejects.toMatchObject({ code: 'NO_EXACT_CUTS' })
    expect([shared, store.list(), engine.stopped]).toEqual([[], [], 1])
  })

  it('says what is wrong with a file that is none, is no model, or is cut short', async () => {
    const { sharer: subject } = sharer()
    await writeFile(folder.file('text.gguf'), 'no model at all, but long enough to have a header')
    await copyFile(EMBER, folder.file('short.gguf'))
    await truncate(folder.file('short.gguf'), 100_000)
    await expect(eventsOf(subject, folder.file('absent.gguf'))).rejects.toThrow(/ENOENT|absent/)
    await expect(eventsOf(subject, folder.file('text.gguf'))).rejects.toMatchObject({ name: 'ModelError' })
    await expect(eventsOf(subject, folder.file('short.gguf'))).rejects.toMatchObject({ name: 'ModelError' })
    expect(store.list()).toEqual([])
  })

  it('stops an engine that does not start', async () => {
    const { sharer: subject, engine } = sharer()
    engine.startError = new Error('no libraries')
    await expect(eventsOf(subject, await tiny())).rejects.toThrow('no libraries')
    expect(engine.stopped).toBe(1)
  })

  it('ends with its signal and leaves nothing behind', async () => {
    const { sharer: subject, engine, shared } = sharer()
    const controller = new AbortController()
    const file = await tiny()
    const reading = async (): Promise<void> => {
      for await (const event of subject.share({ file }, { signal: controller.signal })) {
        if (event.event === 'progress' && event.phase === 'checking') controller.abort(new Error('enough'))
      }
    }
    await expect(reading()).rejects.toThrow('enough')
    expect([shared, store.list(), engine.stopped, engine.loaded]).toEqual([[], [], 1, 0])
    expect((await readdir(folder.path)).sort()).toEqual(['model.gguf', 'models'])
  })
})
