import { afterEach, describe, expect, it, vi } from 'vitest'
import { answer } from '../../../node/pipeline/answer.js'
import { SESSION_SILENCE_MS } from '../../../node/pipeline/constants.js'
import { RingSession } from '../../../node/pipeline/ring-session.js'
import { GREEDY } from './greedy.js'
import { greedyAnswer } from './layer-engine.js'
import { connect, hostBench, link, open, settled, tokenStep, type HostBench, type Origin } from './sessions.js'
import { LAYERS, ToyMesh } from './toy-mesh.js'

const ALWAYS = new AbortController().signal
const NO_END = { bytesOf: () => new Uint8Array(0), isEndOfGeneration: () => false }

describe('a stage that rests', () => {
  const SMALL = { context: 100, sequences: 2, batch: 64 }

  /** A session with these tokens that rests. */
  async function resting({ host }: HostBench, tokens: number[], peer = 'peer', context = 50): Promise<Origin> {
    const origin = connect(host, peer)
    origin.port.receive({ type: 'open', open: open({ context }) })
    origin.port.receive({ type: 'step', step: tokenStep(1, 0, tokens) })
    await settled()
    origin.port.receive({ type: 'rest' })
    expect(origin.faults).toEqual([])
    return origin
  }

  it('goes on from what it has, also from further back, and as far as it was resumed for', async () => {
    const bench = await hostBench()
    const { port, replies, faults } = await resting(bench, [1, 2, 3])
    expect(bench.host.sessions).toBe(0)
    port.receive({ type: 'resume', context: 5 })
    expect(replies.at(-1)).toEqual({ type: 'resumed' })
    expect(bench.host.sessions).toBe(1)
    port.receive({ type: 'step', step: tokenStep(2, 2, [7, 8]) })
    await settled()
    expect(bench.engine.steps.at(-1)).toMatchObject({ position: 2, rows: 2 })
    expect(replies.at(-1)).toMatchObject({ type: 'result' })
    port.receive({ type: 'step', step: tokenStep(3, 4, [1, 2]) })
    expect(faults).toEqual(['CONTEXT_FULL'])
  })

  it('gives way to whoever needs its room, the one that has rested longest first, and blames nobody', async () => {
    const bench = await hostBench(undefined, SMALL)
    const [first, second] = [await resting(bench, [1]), await resting(bench, [2])]
    const other = connect(bench.host, 'other')
    other.port.receive({ type: 'open', open: open({ context: 60 }) })
    expect([first.faults, second.faults, other.faults]).toEqual([['BUSY'], [], []])
    expect(bench.host.refused).toEqual({})
    other.port.receive({ type: 'step', step: tokenStep(1, 0, [5]) })
    await settled()
    expect(other.replies.at(-1)).toMatchObject({ type: 'result' })
    second.port.receive({ type: 'resume', context: 41 })
    expect(second.faults).toEqual(['BUSY'])
  })

  it('keeps what it holds reserved until a step goes back, though it was resumed for less', async () => {
    const bench = await hostBench(undefined, SMALL)
    const { port } = await resting(
      bench,
      Array.from({ length: 40 }, () => 1)
    )
    port.receive({ type: 'resume', context: 10 })
    expect(bench.shards.list()[0]?.freeContext).toBe(60)
  })

  it.each([
    ['a step', { type: 'step' as const, step: tokenStep(2, 1, [1]) }],
    ['a link', { type: 'link' as const, link: link('origin') }],
    ['another rest', { type: 'rest' as const }]
  ])('takes no %s', async (_, request) => {
    const bench = await hostBench({ start: 0, end: 3 })
    const origin = connect(bench.host)
    origin.port.receive({ type: 'open', open: open({ leave: 3 }) })
    origin.port.receive({ type: 'rest' })
    origin.port.receive(request)
    expect(origin.faults).toEqual(['OUT_OF_ORDER'])
  })

  it('cannot rest while a step is under way, nor be resumed while it does not rest', async () => {
    const bench = await hostBench()
    const [busy, awake] = [connect(bench.host), connect(bench.host)]
    for (const { port } of [busy, awake]) port.receive({ type: 'open', open: open() })
    busy.port.receive({ type: 'step', step: tokenStep(1, 0, [1]) })
    busy.port.receive({ type: 'rest' })
    awake.port.receive({ type: 'resume', context: 10 })
    expect([busy.faults, awake.faults]).toEqual([['OUT_OF_ORDER'], ['OUT_OF_ORDER']])
  })

  it('ends when its node leaves or replaces its shard, and when it is silent for too long', async () => {
    const bench = await hostBench()
    const shard = bench.shards.list()[0]
    if (shard === undefined) throw new Error('no shard')
    const replaced = await resting(bench, [1])
    bench.host.moveFrom(shard, 1_000)
    expect(replaced.faults).toEqual(['LEAVING'])
    const silent = await resting(bench, [1])
    bench.clock.now += SESSION_SILENCE_MS + 1
    bench.host.sweep()
    expect(silent.faults).toEqual(['TIMEOUT'])
    const left = await resting(bench, [1])
    expect(await bench.host.drain({ deadlineMs: 1_000 })).toEqual({ left: 0 })
    expect(left.faults).toEqual(['LEAVING'])
    await settled()
    expect(bench.engine.held).toBe(0)
  })

  it('ends at once where its node is about to leave', async () => {
    const bench = await hostBench()
    const origin = connect(bench.host)
    origin.port.receive({ type: 'open', open: open() })
    const drained = bench.host.drain({ deadlineMs: 60_000 })
    origin.port.receive({ type: 'rest' })
    expect(await drained).toEqual({ left: 0 })
    expect(origin.faults).toEqual(['LEAVING'])
  })

  it('lets its shard be replaced while it rests', async () => {
    const bench = await hostBench()
    await resting(bench, [1])
    await bench.shards.list()[0]?.idle()
  })
})

describe('a session that rests', () => {
  const PROMPT = Array.from({ length: 60 }, (_, i) => (7 * i) % 61)
  const ROUTE = ['a', 'b']
  const meshes: ToyMesh[] = []
  afterEach(() => {
    for (const mesh of meshes.splice(0)) mesh.stop()
  })

  async function mesh(spare = false): Promise<ToyMesh> {
    const made = new ToyMesh()
    meshes.push(made)
    await made.add('a', { range: { start: 0, end: 3 } })
    await made.add('b', { range: { start: 3, end: 6 } })
    if (spare) await made.add('bb', { range: { start: 3, end: 6 } })
    return made
  }

  async function tokensOf(session: RingSession, prompt: number[], cached = 0): Promise<number[]> {
    const options = { prompt: Uint32Array.from(prompt), cached, stages: 2, maxTokens: 6, context: 512 }
    const tokens: number[] = []
    for await (const event of answer(session, NO_END, { ...options, sampling: GREEDY, stop: [] })) {
      if (event.type === 'token') tokens.push(event.token)
    }
    return tokens
  }

  /** After a first answer. */
  async function rested(on: ToyMesh): Promise<{ session: RingSession; tokens: number[] }> {
    const session = await RingSession.open(on.parts(ROUTE), on.plan(), { signal: ALWAYS })
    const tokens = [...PROMPT, ...(await tokensOf(session, PROMPT))].slice(0, session.rows)
    expect(session.rest()).toBe(true)
    return { session, tokens }
  }

  const resume = async (session: RingSession, on: ToyMesh, context = 128): Promise<void> =>
    session.resume({ ...on.parts(ROUTE), context }, { signal: ALWAYS })

  it.each([
    ['where it was left', 65],
    ['from further back', 40]
  ])('goes on %s as the whole model does', async (_, cached) => {
    const on = await mesh()
    const { session, tokens } = await rested(on)
    expect(tokens).toHaveLength(65)
    await resume(session, on)
    const prompt = [...tokens.slice(0, cached), 9, 8, 7, 6]
    const before = on.node('a').engine.steps.length
    expect(await tokensOf(session, prompt, cached)).toEqual(await greedyAnswer(prompt, LAYERS, 6))
    const rows = on
      .node('a')
      .engine.steps.slice(before)
      .map(step => step.rows)
    expect(rows.reduce((sum, one) => sum + one, 0)).toBe(4 + 5)
    session.close()
  })

  it('has more room than at first where it is resumed for more', async () => {
    const on = await mesh()
    const session = await RingSession.open(on.parts(ROUTE), on.plan({ context: 66 }), { signal: ALWAYS })
    const tokens = [...PROMPT, ...(await tokensOf(session, PROMPT))].slice(0, session.rows)
    expect(session.rest()).toBe(true)
    await resume(session, on, 100)
    const prompt = [...tokens, ...PROMPT.slice(0, 20)]
    expect(await tokensOf(session, prompt, tokens.length)).toEqual(await greedyAnswer(prompt, LAYERS, 6))
    session.close()
  })

  it('is over when a stage is lost meanwhile, and nobody takes its place', async () => {
    const on = await mesh(true)
    const { session } = await rested(on)
    on.kill('b')
    await vi.waitFor(() => expect(session.isOpen).toBe(false))
    await expect(resume(session, on)).rejects.toMatchObject({ code: 'STAGE_LOST' })
    expect(on.node('bb').host.sessions).toBe(0)
    expect(on.reroutes).toEqual([])
  })

  it('is over when a stage leaves meanwhile', async () => {
    const on = await mesh(true)
    const { session } = await rested(on)
    await on.node('b').host.drain({ deadlineMs: 1_000 })
    await vi.waitFor(() => expect(session.isOpen).toBe(false))
    await vi.waitFor(() => expect(on.idle).toBe(true))
  })

  it('is over when the first step after it fails, and mended again from then on', async () => {
    const on = await mesh(true)
    const { session, tokens } = await rested(on)
    await resume(session, on)
    await tokensOf(session, [...tokens, 1], tokens.length)
    on.kill('b')
    const prompt = [...tokens, 1, 2]
    expect(await tokensOf(session, prompt, tokens.length)).toEqual(await greedyAnswer(prompt, LAYERS, 6))
    expect(on.reroutes).toHaveLength(1)
    expect(session.rest()).toBe(true)
    await resume(session, on)
    on.kill('bb')
    await expect(tokensOf(session, prompt, tokens.length)).rejects.toMatchObject({ code: 'STAGE_LOST' })
  })

  it('cannot rest while a step is under way', async () => {
    const on = await mesh()
    const session = await RingSession.open(on.parts(ROUTE), on.plan(), { signal: ALWAYS })
    const under = tokensOf(session, PROMPT)
    expect(session.rest()).toBe(false)
    await under
    session.close()
  })
})
