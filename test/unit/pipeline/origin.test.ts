import { setImmediate } from 'node:timers/promises'
import { describe, expect, it, vi } from 'vitest'
import type { GenerateEvent, GenerateRequest } from '../../../node/control/contract.js'
import { EngineError } from '../../../node/engine/errors.js'
import { greedyAnswer, VOCABULARY } from './layer-engine.js'
import { CONTEXT, eventsOf, HALVES, idle, PROMPT, request, swarm } from './origin-swarm.js'
import { held, nodeView, shard } from './swarm-views.js'
import { LAYERS, MANIFEST, ORIGIN } from './toy-mesh.js'

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

  it('reads a prompt in the same steps over any route where replays are to be exact', async () => {
    const rowsOver = async (ranges: Record<string, [number, number]>, replay: 'fast' | 'exact') => {
      const { origin, mesh } = await swarm(ranges)
      await eventsOf(origin, request({ prompt: PROMPT.repeat(6), replay }))
      const rows = mesh.node('a').engine.steps.map(step => step.rows)
      return rows.slice(0, -7) // the tokens of the answer
    }
    const [short, long]: Record<string, [number, number]>[] = [{ a: [0, 6] }, { a: [0, 2], b: [2, 4], c: [4, 6] }]
    expect(await rowsOver(short ?? {}, 'exact')).toEqual(await rowsOver(long ?? {}, 'exact'))
    expect(await rowsOver(short ?? {}, 'fast')).not.toEqual(await rowsOver(long ?? {}, 'fast'))
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
