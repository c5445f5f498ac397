import { setImmediate } from 'node:timers/promises'
import { afterEach, describe, expect, it, vi } from 'vitest'
import type { GenerateEvent, GenerateRequest } from '../../../node/control/contract.js'
import { EngineError } from '../../../node/engine/errors.js'
import type { Constraint, Tokenizer } from '../../../node/engine/types.js'
import type { Manifest } from '../../../node/models/types.js'
import { Origin } from '../../../node/pipeline/origin.js'
import { TokenizerCache } from '../../../node/pipeline/tokenizer-cache.js'
import type { MissingLayers, NodeView } from '../../../node/swarm/types.js'
import { greedyAnswer, VOCABULARY } from './layer-engine.js'
import { held, nodeView, shard } from './swarm-views.js'
import { LAYERS, MANIFEST, ORIGIN, ToyMesh } from './toy-mesh.js'

const CONTEXT = 200
const PROMPT = 'some words to go on with'

/** Tokens are UTF-8 bytes, shifted so that they fit the toy vocabulary. */
class ToyTokenizer implements Tokenizer {
  readonly vocabulary = VOCABULARY
  readonly hasChatTemplate = true
  readonly toolFormat = undefined
  readonly toolMarks = new Map<number, string>()
  isLost = false
  closed = false
  beforeTokenize: () => unknown = () => undefined

  async tokenize(text: string): Promise<Uint32Array> {
    await this.beforeTokenize()
    return Uint32Array.from(Buffer.from(text), byte => byte % VOCABULARY)
  }

  bytesOf(token: number): Uint8Array {
    return Uint8Array.of(48 + token)
  }

  isEndOfGeneration(): boolean {
    return false
  }

  renderChat(messages: { content: string }[]): Promise<string> {
    return Promise.resolve(`<${messages.map(({ content }) => content).join('|')}>`)
  }

  constrain(): Promise<Constraint> {
    return Promise.reject(new EngineError('BAD_SCHEMA', 'toys know none'))
  }

  close(): Promise<void> {
    this.closed = true
    return Promise.resolve()
  }
}

const meshes: ToyMesh[] = []
const origins: Origin[] = []
afterEach(() => {
  for (const mesh of meshes.splice(0)) mesh.stop()
  for (const origin of origins.splice(0)) origin.stop()
})

/** An origin and nodes with these ranges; its directory shows what they serve. */
async function swarm(ranges: Record<string, [number, number]>) {
  const mesh = new ToyMesh()
  meshes.push(mesh)
  for (const [peer, [start, end]] of Object.entries(ranges)) await mesh.add(peer, { range: { start, end } })
  const views = Object.entries(ranges).map(([peer, [start, end]]) =>
    nodeView(peer, [held({ shards: [shard(start, end)] })], { path: peer === ORIGIN ? 'self' : 'direct' })
  )
  const directory = {
    views,
    refreshes: 0,
    onRefresh: (): NodeView[] => directory.views,
    nodes: () => directory.views,
    missing: undefined as MissingLayers | undefined,
    refresh: ({ missing }: { missing?: MissingLayers } = {}) => {
      directory.missing = missing
      directory.refreshes++
      directory.views = directory.onRefresh()
      return Promise.resolve()
    },
    addEventListener: () => undefined,
    removeEventListener: () => undefined
  }
  const manifest = { name: 'Toy', layers: LAYERS, cuts: [1, 2, 3, 4, 5], vocabulary: VOCABULARY, context: CONTEXT }
  const stored = {
    id: MANIFEST,
    manifest: manifest as Manifest,
    sourceFile: undefined,
    shards: [],
    headerFile: 'header'
  }
  const tokenizers: ToyTokenizer[] = []
  const cache = new TokenizerCache({
    openTokenizer: () => {
      const tokenizer = new ToyTokenizer()
      tokenizers.push(tokenizer)
      return Promise.resolve(tokenizer)
    }
  })
  const library = { header: () => Promise.resolve(stored) }
  const origin = new Origin({ directory, library, tokenizers: cache, session: mesh.parts([]) })
  origins.push(origin)
  return { mesh, directory, origin, tokenizers }
}

const request = (changes: Partial<GenerateRequest> = {}): GenerateRequest => {
  const sampling = { temperature: 0, maxTokens: 8, ...changes.sampling }
  return { model: 'toy', prompt: PROMPT, raw: true, ...changes, sampling }
}

async function eventsOf(origin: Origin, asked: GenerateRequest, signal = new AbortController().signal) {
  const events: GenerateEvent[] = []
  for await (const event of origin.generate(asked, { signal })) events.push(event)
  return events
}

/** Once nothing is kept for a next turn. */
async function idle(mesh: ToyMesh): Promise<void> {
  for (const origin of origins) origin.stop()
  await vi.waitFor(() => expect(mesh.idle).toBe(true), { timeout: 5_000, interval: 5 })
}

const HALVES: Record<string, [number, number]> = { a: [0, 3], b: [3, 6] }

describe('Origin', () => {
  it('answers like the whole model, and says by which route and how fast', async () => {
    const { mesh, origin } = await swarm({ a: [0, 2], [ORIGIN]: [2, 4], b: [4, 6] })
    const events = await eventsOf(origin, request())
    expect(events[0]).toMatchObject({
      event: 'route',
      promptTokens: PROMPT.length,
      stages: [
        { peer: 'a', name: 'node of a', start: 0, end: 2, local: false, link: 'direct' },
        { peer: ORIGIN, start: 2, end: 4, local: true, link: 'direct' },
        { peer: 'b', start: 4, end: 6, local: false, link: 'origin' }
      ]
    })
    const tokens = events.flatMap(event => (event.event === 'text' ? event.tokens : []))
    const prompt = Array.from(Buffer.from(PROMPT), byte => byte % VOCABULARY)
    expect(tokens).toEqual(await greedyAnswer(prompt, LAYERS, 8))
    const text = events.map(event => (event.event === 'text' ? event.text : '')).join('')
    expect(text).toBe(Buffer.from(tokens.map(token => 48 + token)).toString())
    const done = events.at(-1)
    if (done?.event !== 'done') throw new Error('no end')
    expect(done).toMatchObject({ reason: 'length', stats: { promptTokens: PROMPT.length, generatedTokens: 8 } })
    expect(done.stats.stages.map(({ computeMs }) => computeMs)).toEqual([1, 1, 1])
    expect(done.stats.tokensPerSecond).toBeGreaterThan(0)
    expect(done.stats.firstTokenMs).toBeGreaterThanOrEqual(done.stats.promptMs)
    await idle(mesh)
    expect(origin.answering).toBe(0)
  })

  it('asks through the chat template, and leaves it out where that is asked for', async () => {
    const { origin } = await swarm({ a: [0, 6] })
    const messages = [{ role: 'user' as const, content: 'hi' }]
    const cases: [Partial<GenerateRequest>, number][] = [
      [{ raw: false, prompt: 'hi' }, 4],
      [{ raw: true, prompt: 'hi' }, 2],
      [{ raw: false, messages }, 4]
    ]
    for (const [asked, promptTokens] of cases) {
      expect((await eventsOf(origin, request(asked)))[0]).toMatchObject({ promptTokens })
    }
  })

  it('draws the same answer from the same seed, whatever the route', async () => {
    const sampling = { temperature: 1, seed: 7, maxTokens: 20 }
    const answers = []
    for (const ranges of [{ a: [0, 6] }, HALVES] as Record<string, [number, number]>[]) {
      const { origin } = await swarm(ranges)
      const events = await eventsOf(origin, request({ sampling }))
      answers.push(events.flatMap(event => (event.event === 'text' ? event.tokens : [])))
    }
    expect(answers[0]).toHaveLength(20)
    expect(answers[0]).toEqual(answers[1])
  })

  it('ends the answer where the context of the model does', async () => {
    const { origin } = await swarm({ a: [0, 6] })
    const prompt = 'x'.repeat(CONTEXT - 3)
    const events = await eventsOf(origin, request({ prompt, sampling: { temperature: 0, maxTokens: 50 } }))
    expect(events.at(-1)).toMatchObject({ reason: 'context', stats: { generatedTokens: 3 } })
  })
})

describe('Origin, when something is wrong', () => {
  it.each([
    ['UNKNOWN_MODEL', { model: 'nothing' }],
    ['CONTEXT_EXCEEDED', { prompt: 'x'.repeat(CONTEXT) }],
    ['EMPTY_PROMPT', { prompt: '' }]
  ] as const)('rejects with %s', async (code, asked) => {
    const { origin, mesh } = await swarm(HALVES)
    await expect(eventsOf(origin, request(asked))).rejects.toMatchObject({ code })
    expect([origin.answering, mesh.idle]).toEqual([0, true])
  })

  it('rejects with INCOMPLETE_MODEL once the swarm, asked again, does not have all layers either', async () => {
    const { origin, directory } = await swarm({ a: [0, 3] })
    await expect(eventsOf(origin, request())).rejects.toMatchObject({
      code: 'INCOMPLETE_MODEL',
      details: { missing: [{ start: 3, end: 6 }] }
    })
    expect(directory.refreshes).toBe(1)
    expect(directory.missing).toEqual({ manifest: MANIFEST, layers: [{ start: 3, end: 6 }] })
  })

  it('asks the swarm again before it says so, and answers when a node has come', async () => {
    const { origin, directory } = await swarm(HALVES)
    const all = directory.views
    directory.views = all.slice(0, 1)
    directory.onRefresh = () => all
    expect((await eventsOf(origin, request())).at(-1)).toMatchObject({ event: 'done' })
    expect(directory.refreshes).toBe(1)
  })

  it('asks again in f32 where a hidden state is too large for f16, unless f16 was asked for', async () => {
    const { mesh, origin } = await swarm(HALVES)
    mesh.node('a').engine.beforeStep = ({ dtype }) => {
      if (dtype === 'f16') throw new EngineError('F16_OVERFLOW', 'too large')
    }
    const events = await eventsOf(origin, request())
    expect(events.at(-1)).toMatchObject({ event: 'done', stats: { generatedTokens: 8 } })
    await expect(eventsOf(origin, request({ dtype: 'f16' }))).rejects.toMatchObject({
      code: 'STAGE_REFUSED',
      details: { status: 'OUT_OF_RANGE' }
    })
    await idle(mesh)
  })

  it('rejects with AMBIGUOUS_MODEL', async () => {
    const { origin, directory } = await swarm(HALVES)
    directory.views = [...directory.views, nodeView('c', [held({ manifest: 'cd'.repeat(32), shards: [shard(0, 6)] })])]
    await expect(eventsOf(origin, request())).rejects.toMatchObject({ code: 'AMBIGUOUS_MODEL' })
  })

  it('takes another holder when one is leaving, and another when one cannot be reached', async () => {
    const { origin, mesh } = await swarm({ a: [0, 3], aa: [0, 3], b: [3, 6], bb: [3, 6] })
    mesh.node('a').host.stop()
    mesh.unreachable = ({ to }) => to === 'b'
    const [route, ...rest] = await eventsOf(origin, request())
    expect(route).toMatchObject({ stages: [{ peer: 'aa' }, { peer: 'bb' }] })
    expect(rest.at(-1)).toMatchObject({ event: 'done' })
    await idle(mesh)
  })

  it('takes another holder when one is busy, and says NO_ROUTE when all are', async () => {
    const { origin, mesh } = await swarm({ a: [0, 6], aa: [0, 6] })
    const take = (peer: string): unknown => mesh.node(peer).shards.list()[0]?.reserve(500)
    take('a')
    expect((await eventsOf(origin, request()))[0]).toMatchObject({ stages: [{ peer: 'aa' }] })
    await vi.waitFor(() => expect(mesh.node('aa').shards.list()[0]?.sessions).toBe(0))
    take('aa')
    await expect(eventsOf(origin, request())).rejects.toMatchObject({ code: 'NO_ROUTE', details: { status: 'BUSY' } })
  })

  it('says which layers are left with nobody when the last holder is gone', async () => {
    const { origin, mesh } = await swarm(HALVES)
    mesh.node('b').host.stop()
    await expect(eventsOf(origin, request())).rejects.toMatchObject({
      code: 'INCOMPLETE_MODEL',
      message: expect.stringContaining('cannot be reached') as string,
      details: { missing: [{ start: 3, end: 6 }], absent: ['node of b'] }
    })
    await vi.waitFor(() => expect(mesh.node('a').host.sessions).toBe(0))
  })

  it('says why the last route failed where a holder is still there', async () => {
    const { origin, mesh } = await swarm(HALVES)
    await mesh.node('b').shards.withdraw(MANIFEST)
    await expect(eventsOf(origin, request())).rejects.toMatchObject({
      code: 'STAGE_REFUSED',
      details: { peer: 'b', status: 'UNKNOWN_MODEL' }
    })
    await vi.waitFor(() => expect(mesh.node('a').host.sessions).toBe(0))
  })

  it('rejects with STAGE_LOST in the middle of an answer', async () => {
    const { origin, mesh } = await swarm(HALVES)
    const reading = async (): Promise<void> => {
      for await (const { event } of origin.generate(request({ sampling: { temperature: 0, maxTokens: 100 } }), {
        signal: new AbortController().signal
      })) {
        if (event === 'text') mesh.node('b').host.stop()
      }
    }
    await expect(reading()).rejects.toMatchObject({ code: 'STAGE_LOST', details: { peer: 'b' } })
    await vi.waitFor(() => expect(mesh.node('a').host.sessions).toBe(0))
    expect(origin.answering).toBe(0)
  })

  it('says nothing after the end, whatever happens to its stages then', async () => {
    const { mesh, origin } = await swarm({ ...HALVES, bb: [3, 6] })
    const events: GenerateEvent[] = []
    for await (const event of origin.generate(request(), { signal: new AbortController().signal })) {
      events.push(event)
      if (event.event !== 'done') continue
      const [taken, other] = mesh.node('b').host.sessions > 0 ? ['b', 'bb'] : ['bb', 'b']
      mesh.kill(taken)
      await vi.waitFor(() => expect(mesh.node(other).engine.steps).not.toEqual([]))
      await setImmediate()
    }
    expect(events.map(({ event }) => event).slice(-2)).toEqual(['text', 'done'])
    await idle(mesh)
  })

  it('opens the tokenizer again after its process was lost', async () => {
    const { origin, tokenizers } = await swarm({ a: [0, 6] })
    await eventsOf(origin, request())
    const [first] = tokenizers
    if (first === undefined) throw new Error('no tokenizer')
    first.beforeTokenize = () => {
      first.isLost = true
      throw new EngineError('TOKENIZER_LOST', 'it died')
    }
    await expect(eventsOf(origin, request())).rejects.toMatchObject({ code: 'TOKENIZER_LOST' })
    expect((await eventsOf(origin, request())).at(-1)).toMatchObject({ event: 'done' })
    expect(first.closed).toBe(true)
    expect(tokenizers).toHaveLength(2)
  })
})

describe('cancelling an answer', () => {
  it.each(['route', 'text'] as const)('frees every stage when its signal aborts at the first %s', async at => {
    const { origin, mesh } = await swarm(HALVES)
    const controller = new AbortController()
    const reading = async (): Promise<void> => {
      for await (const { event } of origin.generate(request(), { signal: controller.signal })) {
        if (event === at) controller.abort(new Error('enough'))
      }
    }
    await expect(reading()).rejects.toMatchObject({ code: 'CANCELLED' })
    await idle(mesh)
    expect(origin.answering).toBe(0)
  })

  it('stops a step that would take for ever', async () => {
    const { origin, mesh } = await swarm(HALVES)
    const gate = Promise.withResolvers<undefined>()
    mesh.node('b').engine.beforeStep = () => gate.promise
    const controller = new AbortController()
    const reading = eventsOf(origin, request(), controller.signal)
    await vi.waitFor(() => expect(mesh.node('b').engine.steps).toHaveLength(1))
    controller.abort()
    await expect(reading).rejects.toMatchObject({ code: 'CANCELLED' })
    gate.resolve(undefined)
    await idle(mesh)
  })

  it('is CANCELLED also before there is a route', async () => {
    const { origin, directory } = await swarm({ a: [0, 3] })
    const controller = new AbortController()
    directory.onRefresh = () => {
      controller.abort(new Error('enough'))
      throw new Error('aborted')
    }
    await expect(eventsOf(origin, request(), controller.signal)).rejects.toMatchObject({ code: 'CANCELLED' })
  })

  it('frees every stage when the reader leaves', async () => {
    const { origin, mesh } = await swarm(HALVES)
    for await (const { event } of origin.generate(request(), { signal: new AbortController().signal })) {
      if (event === 'text') break
    }
    await idle(mesh)
    expect(origin.answering).toBe(0)
  })
})

describe('a conversation', () => {
  const ask = async (origin: Origin, prompt: string, changes: Partial<GenerateRequest> = {}, caller = 'me') => {
    const events: GenerateEvent[] = []
    const { signal } = new AbortController()
    for await (const event of origin.generate(request({ prompt, ...changes }), { signal, caller })) events.push(event)
    const routes = events.filter(event => event.event === 'route')
    const text = events.map(event => (event.event === 'text' ? event.text : '')).join('')
    const done = events.at(-1)
    if (done?.event !== 'done') throw new Error('no end')
    return { cached: routes.map(({ cachedTokens }) => cachedTokens), text, stats: done.stats }
  }
  const whole = async (prompt: string): Promise<string> => {
    const tokens = Array.from(Buffer.from(prompt), byte => byte % VOCABULARY)
    return Buffer.from((await greedyAnswer(tokens, LAYERS, 8)).map(token => 48 + token)).toString()
  }

  it('goes on from what the stages have of the prompt, with the same answer', async () => {
    const { origin, mesh } = await swarm(HALVES)
    expect(await ask(origin, PROMPT)).toMatchObject({ cached: [0], text: await whole(PROMPT) })
    const next = `${PROMPT} and more`
    expect(await ask(origin, next)).toMatchObject({
      cached: [PROMPT.length],
      text: await whole(next),
      stats: { promptTokens: next.length, cachedTokens: PROMPT.length }
    })
    const edited = `${PROMPT} or less of it`
    expect(await ask(origin, edited)).toMatchObject({ cached: [PROMPT.length + 1], text: await whole(edited) })
    expect(await ask(origin, PROMPT)).toMatchObject({ cached: [PROMPT.length - 1], text: await whole(PROMPT) })
    await idle(mesh)
  })

  it("begins anew for another caller, another wire type, a seed and an exact replay, and leaves the session its owner's", async () => {
    const { origin } = await swarm(HALVES)
    await ask(origin, PROMPT)
    expect((await ask(origin, PROMPT, {}, 'you')).cached).toEqual([0])
    expect((await ask(origin, PROMPT, { dtype: 'f32' })).cached).toEqual([0])
    expect((await ask(origin, PROMPT, { replay: 'exact' })).cached).toEqual([0])
    expect((await ask(origin, PROMPT, { sampling: { seed: 1 } })).cached).toEqual([0])
    expect((await ask(origin, PROMPT)).cached).toEqual([PROMPT.length - 1])
  })

  it('begins anew where the stages have lost it, and nobody sees more of that than a second route', async () => {
    const { origin, mesh } = await swarm({ ...HALVES, bb: [3, 6] })
    await ask(origin, PROMPT)
    mesh.kill('b')
    expect(await ask(origin, `${PROMPT}!`)).toMatchObject({ cached: [0], text: await whole(`${PROMPT}!`) })
    // A model that cannot go back says so when the first step comes.
    const shorter = PROMPT.slice(0, -3)
    mesh.node('a').engine.beforeStep = ({ position }) => {
      if (position > 0 && position < shorter.length) throw new EngineError('CANNOT_TRUNCATE', 'start again')
    }
    expect(await ask(origin, shorter)).toMatchObject({ cached: [shorter.length - 1, 0], text: await whole(shorter) })
  })

  it('makes room for others, and for its own next answer', async () => {
    const { origin, mesh } = await swarm({ a: [0, 6] })
    for (let n = 0; n < 10; n++) await ask(origin, `${n} ${PROMPT}`)
    expect(mesh.node('a').shards.list()[0]).toMatchObject({ sessions: 0, freeSessions: 4, freeContext: 512 })
    const take = mesh.node('a').shards.list()[0]
    for (let n = 0; n < 4; n++) take?.reserve(100)
    expect(take?.freeSessions).toBe(0)
  })

  it('keeps nothing of an answer that was left', async () => {
    const { origin, mesh } = await swarm(HALVES)
    for await (const event of origin.generate(request(), { signal: new AbortController().signal })) {
      if (event.event === 'text') break
    }
    await vi.waitFor(() => expect(mesh.idle).toBe(true), { timeout: 5_000, interval: 5 })
  })
})
