import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { heldModels } from '../../../node/holding/announcement.js'
import { Announcer } from '../../../node/holding/announcer.js'
import { Intents } from '../../../node/holding/intents.js'
import type { StoredModel } from '../../../node/models/types.js'
import { ServedShard } from '../../../node/pipeline/served-shard.js'
import { ShardRegistry } from '../../../node/pipeline/shard-registry.js'
import type { Announcement } from '../../../node/swarm/types.js'
import { encodeNodeRecord } from '../../../protocol/node-record.js'
import { MAX_MODELS } from '../../../protocol/limits.js'
import { LayerEngine } from '../pipeline/layer-engine.js'
import { nodeView } from '../pipeline/swarm-views.js'
import { settled } from '../pipeline/sessions.js'

const REFRESH_MS = 15_000
const HARDWARE = { backend: 'cpu', device: 'a cpu', threads: 2, memoryBytes: 1 }

const id = (n: number): string => n.toString(16).padStart(64, '0')

function stored(n: number): StoredModel {
  const manifest = { name: `model ${n}`, architecture: 'toy', layers: 6, cuts: [3] } as StoredModel['manifest']
  return { id: id(n), manifest, headerFile: undefined, sourceFile: undefined, shards: [] }
}

const file = { file: 'toy', architecture: 'toy', start: 0, end: 3, layers: 6 }

function served(n: number): ServedShard {
  const loaded = { id: 1, width: 4, vocabulary: 61, context: 100, sequences: 2, batch: 8 }
  return new ServedShard({ engine: new LayerEngine() }, { manifest: id(n), range: file, layers: 6, loaded })
}

const noIntent = () => ({})

describe('what a node says of its models', () => {
  it('has ranges of pieces and shards with their free room', () => {
    const pieces = [{ start: 0, end: 6 }]
    expect(heldModels([{ model: stored(1), ranges: pieces }], [served(1), served(2)], noIntent)).toEqual([
      {
        manifest: id(1),
        name: 'model 1',
        architecture: 'toy',
        layers: 6,
        cuts: [3],
        pieces,
        shards: [{ ...file, secondsPerLayer: 0, steadySecondsPerLayer: 0, freeSessions: 2, freeContext: 100, queue: 0 }]
      }
    ])
  })

  it('names a range of pieces once, and none that lies within another', () => {
    const [whole, part, end] = [
      { start: 0, end: 6 },
      { start: 0, end: 3 },
      { start: 3, end: 6 }
    ]
    const piecesOf = (...ranges: { start: number; end: number }[]) =>
      heldModels([{ model: stored(1), ranges }], [], noIntent)[0]?.pieces
    expect(piecesOf(part, whole, end)).toEqual([whole])
    expect(piecesOf(part, { ...part }, end)).toEqual([part, end])
  })

  it('leaves out a model of which nothing can be had', () => {
    expect(heldModels([{ model: stored(1), ranges: [] }], [served(2)], noIntent)).toEqual([])
  })

  it('names what is being fetched, also of a model of which nothing is here yet, and what its owner chose', () => {
    const claim = { start: 3, end: 6 }
    const [model] = heldModels([{ model: stored(1), ranges: [] }], [], () => ({ claim, pinned: true }))
    expect(model).toMatchObject({ claim, pinned: true, pieces: [], shards: [] })
  })

  it('fits into a record, with the models that are served first', () => {
    const all = Array.from({ length: MAX_MODELS + 5 }, (_, n) => ({ model: stored(n), ranges: [{ start: 0, end: 6 }] }))
    const models = heldModels(all, [served(MAX_MODELS + 4)], noIntent)
    expect(models).toHaveLength(MAX_MODELS)
    expect(models[0]?.manifest).toBe(id(MAX_MODELS + 4))
    const { record } = nodeView('12D3KooWGzBmMVkQMsYZ5YKbvy1hVbQaRgJCkuPr4iFJJwYLzJ5q', models, { addresses: [] })
    expect(() => encodeNodeRecord({ ...record, models: models.map(model => ({ ...model, shards: [] })) })).not.toThrow()
  })
})

describe('Announcer', () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
  })
  afterEach(() => {
    vi.useRealTimers()
  })

  function announcer() {
    const announced: Announcement[] = []
    const models = [stored(1)]
    const held = { ranges: () => Promise.resolve([{ start: 0, end: 6 }]) }
    const engine = new LayerEngine()
    const shards = new ShardRegistry({ engine }, { context: 100, sequences: 2, batch: 8 })
    const about = { name: 'me', state: 'online' as const, hardware: HARDWARE }
    const store = { list: () => models, heldRanges: () => held.ranges() }
    const swarm = { announce: (announcement: Announcement) => Promise.resolve(void announced.push(announcement)) }
    const intents = new Intents()
    const subject = new Announcer({ swarm, store, shards, intents }, () => about)
    return { announced, models, held, shards, intents, about, announcer: subject }
  }

  it('says a claim as long as it holds', async () => {
    const { announcer: subject, announced, intents } = announcer()
    await subject.start()
    const claim = intents.claim(id(1), { start: 0, end: 3 })
    await settled()
    expect(announced.at(-1)?.models[0]).toMatchObject({ claim: { start: 0, end: 3 } })
    claim[Symbol.dispose]()
    await settled()
    expect(announced.at(-1)?.models[0]).not.toHaveProperty('claim')
    subject.stop()
  })

  it('says at the start what is there, and again when a shard comes', async () => {
    const { announcer: subject, announced, shards } = announcer()
    await subject.start()
    expect(announced).toMatchObject([{ name: 'me', state: 'online', models: [{ pieces: [{}], shards: [] }] }])
    await shards.serve({ manifest: id(1), file })
    await settled()
    expect(announced).toHaveLength(2)
    expect(announced[1]?.models[0]?.shards).toMatchObject([{ start: 0, end: 3, freeSessions: 2, freeContext: 100 }])
    subject.stop()
  })

  it('says nothing where nothing has changed, and looks again after a while', async () => {
    const { announcer: subject, announced, about } = announcer()
    await subject.start()
    vi.advanceTimersByTime(REFRESH_MS)
    await settled()
    expect(announced).toHaveLength(1)
    about.name = 'somebody'
    vi.advanceTimersByTime(REFRESH_MS)
    await settled()
    expect(announced.map(({ name }) => name)).toEqual(['me', 'somebody'])
    subject.stop()
  })

  it('says last what was true last, although an earlier look took longer', async () => {
    const { announcer: subject, announced, held, models } = announcer()
    const slow = Promise.withResolvers<{ start: number; end: number }[]>()
    held.ranges = () => slow.promise
    const first = subject.update()
    await settled()
    models.length = 0
    const second = subject.update()
    slow.resolve([{ start: 0, end: 6 }])
    await Promise.all([first, second])
    expect(announced.map(announcement => announcement.models.length)).toEqual([1, 0])
  })

  it('goes on after a look that failed', async () => {
    const { announcer: subject, announced, held } = announcer()
    held.ranges = () => Promise.reject(new Error('the disk is gone'))
    await expect(subject.update()).rejects.toThrow('the disk is gone')
    held.ranges = () => Promise.resolve([{ start: 0, end: 6 }])
    await subject.update()
    expect(announced).toHaveLength(1)
  })

  it('says nothing once it has stopped, also of a look that was under way', async () => {
    const { announcer: subject, announced, shards, held, about } = announcer()
    await subject.start()
    const slow = Promise.withResolvers<{ start: number; end: number }[]>()
    held.ranges = () => slow.promise
    about.name = 'other'
    const late = subject.update()
    await settled()
    subject.stop()
    slow.resolve([])
    await late
    await shards.serve({ manifest: id(1), file })
    await settled()
    expect(announced).toHaveLength(1)
    expect(vi.getTimerCount()).toBe(0)
  })
})
