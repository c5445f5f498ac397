import { beforeAll, afterAll, describe, expect, it } from 'vitest'
import type { GenerateEvent, GenerateStats } from '../../../node/control/contract.js'
import { Forecasts } from '../../../node/estimate/forecasts.js'
import type { RememberedAnswer } from '../../../node/estimate/history.js'
import { Planner, type PlannerParts } from '../../../node/estimate/planner.js'
import { readGguf, type Gguf } from '../../../node/models/gguf.js'
import { buildManifest } from '../../../node/models/manifest.js'
import { ModelError } from '../../../node/models/errors.js'
import type { Manifest } from '../../../node/models/types.js'
import type { NodeView } from '../../../node/swarm/types.js'
import { temporaryFolder, type TemporaryFolder } from '../../support/temporary.js'
import { writeTinyModel } from '../../support/tiny-model.js'
import { held, nodeView, shard } from '../pipeline/swarm-views.js'
import { MANIFEST } from '../pipeline/toy-mesh.js'

const CONTEXT = 256
const HARDWARE = { backend: 'cpu', device: '', threads: 1, memoryBytes: 1_000_000_000 }
const SIGNAL = { signal: new AbortController().signal }
const ROOMY = 1_000_000_000

let folder: TemporaryFolder
let file: string
let gguf: Gguf
let manifest: Manifest

beforeAll(async () => {
  folder = await temporaryFolder()
  file = (await writeTinyModel(folder.file('tiny.gguf'), { architecture: 'llama' })).file
  gguf = await readGguf(file)
  manifest = await buildManifest({ file, gguf }, { name: 'Tiny', cuts: [2, 4, 6] })
})
afterAll(() => folder.remove())

/** What a node serves of the model of eight layers. */
function serves(...ranges: [number, number][]) {
  const shards = ranges.map(([start, end]) => shard(start, end, { secondsPerLayer: 0.002 }))
  return [held({ name: 'Tiny', layers: 8, cuts: [2, 4, 6], shards })]
}

function planner(nodes: NodeView[], { memory = ROOMY, header = true, history = [] as RememberedAnswer[] } = {}) {
  const directory = { nodes: () => nodes, refresh: () => Promise.resolve() }
  const lost = new ModelError('NOT_HELD', 'nobody answers')
  const stored = { id: MANIFEST, manifest, headerFile: file, sourceFile: undefined, shards: [] }
  const parts = {
    directory,
    store: { list: () => (header ? [stored] : []), header: () => Promise.resolve(gguf) },
    library: { header: () => (header ? Promise.resolve(stored) : Promise.reject(lost)) },
    memory: { bytes: memory },
    forecasts: new Forecasts(
      {
        directory,
        history: { list: () => history, add: answer => void history.push(answer) },
        headLayers: () => 0,
        wallNow: () => 42
      },
      { rowsPerStep: 512 }
    )
  } satisfies PlannerParts
  return new Planner(parts, { context: CONTEXT })
}

const ME = nodeView('me', serves([0, 4]), { path: 'self', hardware: HARDWARE })
const B = nodeView('b', serves([4, 8]), { hardware: HARDWARE })

describe('a plan', () => {
  it('is the route that would be chosen, and says that alone would be faster', async () => {
    const plan = await planner([ME, B]).plan({ model: 'tiny' }, SIGNAL)
    expect(plan).toMatchObject({ model: 'Tiny', layers: 8, promptTokens: 128, alone: { fits: true }, faster: 'alone' })
    if (plan.swarm.kind !== 'route' || plan.alone.speed === undefined) throw new Error('a route and a speed alone')
    expect(plan.swarm.stages.map(({ peer, start, end, local }) => [peer, start, end, local])).toEqual([
      ['me', 0, 4, true],
      ['b', 4, 8, false]
    ])
    for (const { milliseconds } of plan.swarm.stages) expect(milliseconds).toBeCloseTo(8, 6)
    // Two ways of 10 ms and what goes with them are more than a stage.
    expect(plan.swarm.limit.kind).toBe('network')
    const { networkMs, speed } = plan.swarm
    expect(1_000 / speed.tokensPerSecond).toBeCloseTo(16 + networkMs, 6)
    expect(speed.correctedBy).toBe(0)
    expect(plan.alone.speed.tokensPerSecond).toBeGreaterThan(speed.tokensPerSecond)
  })

  it('says that the slowest stage limits it where the network is near', async () => {
    const near = { ...B, roundTrip: 0.0001 }
    const { swarm } = await planner([ME, near]).plan({ model: 'tiny' }, SIGNAL)
    expect(swarm).toMatchObject({ limit: { kind: 'compute' } })
  })

  it('says of a small memory what it needs, and knows no speed alone', async () => {
    const plan = await planner([ME, B], { memory: 10_000 }).plan({ model: 'tiny' }, SIGNAL)
    expect(plan.alone).toEqual({ fits: false, memoryBytes: 10_000, speed: undefined })
    const weights = gguf.tensors.reduce((sum, { size }) => sum + size, 0)
    expect(plan.size?.weights).toBe(weights)
    expect(plan.size?.needed).toBeGreaterThan(plan.size?.weights ?? NaN)
    expect(plan.faster).toBeUndefined()
  })

  it('knows no speed alone where this node has measured nothing of it', async () => {
    const asks = nodeView('me', [], { path: 'self' })
    const all = nodeView('a', serves([0, 8]))
    const plan = await planner([asks, all]).plan({ model: 'tiny' }, SIGNAL)
    expect(plan).toMatchObject({ alone: { fits: true, speed: undefined }, swarm: { kind: 'route' }, faster: undefined })
  })

  it('is this machine alone where the route is', async () => {
    const plan = await planner([nodeView('me', serves([0, 8]), { path: 'self' })]).plan({ model: 'tiny' }, SIGNAL)
    expect(plan.faster).toBeUndefined()
    expect(plan.swarm).toMatchObject({ kind: 'route', stages: [{ peer: 'me', local: true }] })
  })

  it('says which layers nobody serves, and who has room for them', async () => {
    const plan = await planner([ME]).plan({ model: 'tiny' }, SIGNAL)
    expect(plan.swarm).toMatchObject({
      kind: 'missing',
      ranges: [{ start: 4, end: 8, takers: [{ peer: 'me' }] }]
    })
  })

  it('says what it can where nobody gives the header', async () => {
    const plan = await planner([ME, B], { header: false }).plan({ model: 'tiny' }, SIGNAL)
    expect(plan).toMatchObject({ size: undefined, alone: { fits: undefined }, swarm: { kind: 'route' } })
  })

  it('says why nobody can take the session', async () => {
    const full = nodeView('b', [held({ ...serves([4, 8])[0], cuts: [] })])
    const blocked = [nodeView('me', [held({ name: 'Tiny', layers: 8, shards: [shard(0, 3)] })]), full]
    const odd = nodeView('c', [held({ name: 'Tiny', layers: 8, shards: [shard(3, 5)] })])
    const { swarm } = await planner([...blocked, odd]).plan({ model: 'tiny' }, SIGNAL)
    expect(swarm).toMatchObject({ kind: 'blocked', message: expect.stringContaining('No chain') as string })
  })

  it('refuses a model that nobody offers', async () => {
    await expect(planner([ME, B]).plan({ model: 'huge' }, SIGNAL)).rejects.toMatchObject({ code: 'UNKNOWN_MODEL' })
  })

  it('says of a file that nobody shares what it takes, and whether the swarm has room', async () => {
    const plan = await planner([ME, B]).plan({ file }, SIGNAL)
    expect(plan).toMatchObject({ manifest: undefined, layers: 8, alone: { fits: true, speed: undefined } })
    expect(plan.swarm).toEqual({ kind: 'unshared', nodes: 2, memoryBytes: 2 * HARDWARE.memoryBytes, fits: true })
    const small = nodeView('b', [], { hardware: { ...HARDWARE, memoryBytes: 50_000 } })
    expect((await planner([small]).plan({ file }, SIGNAL)).swarm).toMatchObject({ nodes: 1, fits: false })
  })
})

const STATS: GenerateStats = {
  ...{
    promptTokens: 5,
    cachedTokens: 0,
    generatedTokens: 11,
    firstTokenMs: 150,
    promptMs: 100,
    decodeMs: 400,
    tokensPerSecond: 25
  },
  ...{ stages: [], networkMs: 0, seed: 1, recoveries: 0 }
}

async function* events(cachedTokens = 0): AsyncGenerator<GenerateEvent> {
  const stats = { ...STATS, cachedTokens }
  const stage = { name: '', local: false, link: 'direct' as const }
  const stages = [
    { ...stage, peer: 'me', start: 0, end: 4, local: true },
    { ...stage, peer: 'b', start: 4, end: 8 }
  ]
  yield { event: 'route', stages, promptTokens: 5, cachedTokens }
  yield await Promise.resolve({ event: 'done' as const, reason: 'stop' as const, stats })
}

describe('forecasts', () => {
  function forecasts(nodes: NodeView[]) {
    const history: RememberedAnswer[] = []
    const parts = {
      directory: { nodes: () => nodes },
      history: { list: () => history, add: (answer: RememberedAnswer) => void history.push(answer) }
    }
    return { history, it: new Forecasts({ ...parts, headLayers: () => 0, wallNow: () => 42 }, { rowsPerStep: 512 }) }
  }
  const request = { model: 'tiny', prompt: 'secret', sampling: {} }
  const read = async (stream: AsyncIterable<GenerateEvent>): Promise<string[]> => {
    const names: string[] = []
    for await (const { event } of stream) names.push(event)
    return names
  }

  it('pass an answer on and keep what was expected of it beside what it took, nothing of its text', async () => {
    const { history, it: watch } = forecasts([ME, B])
    expect(await read(watch.follow(request, events()))).toEqual(['route', 'done'])
    expect(history).toMatchObject([
      {
        ...{ at: 42, model: 'Tiny', promptTokens: 5, generatedTokens: 11, recoveries: 0 },
        route: { manifest: MANIFEST, stages: 2, ways: 2, path: 'me 0-4, b 4-8' },
        measured: { token: 0.04, prompt: 0.1, open: 0.05 }
      }
    ])
    expect(JSON.stringify(history)).not.toContain('secret')
    expect(history[0]?.estimated.token).toBeGreaterThan(0.036)
  })

  it('are corrected by the answers before', async () => {
    const { history, it: watch } = forecasts([ME, B])
    for (let i = 0; i < 4; i++) await read(watch.follow(request, events()))
    expect(history.map(({ told }) => told.token === 0.04)).toEqual([false, true, true, true])
  })

  it('expect no opening of an answer that goes on from an earlier one, and less to read', async () => {
    const { history, it: watch } = forecasts([ME, B])
    await read(watch.follow(request, events()))
    await read(watch.follow(request, events(4)))
    const [first, second] = history
    expect(second).toMatchObject({ promptTokens: 5, cachedTokens: 4, told: { token: 0.04, open: 0 } })
    expect(second?.estimated.prompt).toBeLessThan(first?.estimated.prompt ?? 0)
  })

  it('keep nothing of answers that fail, or whose nodes have gone before they began', async () => {
    const { history, it: watch } = forecasts([ME])
    expect(await read(watch.follow(request, events()))).toEqual(['route', 'done'])
    const { history: others, it: failing } = forecasts([ME, B])
    const cut = async function* (): AsyncGenerator<GenerateEvent> {
      for await (const event of events()) if (event.event === 'route') yield event
      throw new Error('lost')
    }
    await expect(read(failing.follow(request, cut()))).rejects.toThrow('lost')
    expect([...history, ...others]).toEqual([])
  })
})
