import { afterEach, describe, expect, it, vi } from 'vitest'
import { RELAY_PROTOCOL } from '../../../protocol/ids.js'
import { answer, type AnswerEvent } from '../../../node/pipeline/answer.js'
import { RingSession } from '../../../node/pipeline/ring-session.js'
import type { SessionPlan } from '../../../node/pipeline/session-types.js'
import { greedyAnswer } from './layer-engine.js'
import { WANT_ONE } from './sessions.js'
import { LAYERS, ORIGIN, ToyMesh } from './toy-mesh.js'
import { GREEDY } from './greedy.js'

const PROMPT = Array.from({ length: 100 }, (_, i) => (7 * i) % 61)
const NO_END = { bytesOf: () => new Uint8Array(0), isEndOfGeneration: () => false }
const ALWAYS = new AbortController().signal

const meshes: ToyMesh[] = []
afterEach(() => {
  for (const mesh of meshes.splice(0)) mesh.stop()
})

/** Nodes `a`, `origin` and `b` with two layers each. */
async function threeNodes(): Promise<ToyMesh> {
  const mesh = newMesh()
  await mesh.add('a', { range: { start: 0, end: 2 } })
  await mesh.add(ORIGIN, { range: { start: 2, end: 4 } })
  await mesh.add('b', { range: { start: 4, end: 6 } })
  return mesh
}

function newMesh(): ToyMesh {
  const mesh = new ToyMesh()
  meshes.push(mesh)
  return mesh
}

/** Nodes `one` and `two` with three layers each, none of them the origin. */
async function twoNodes(): Promise<ToyMesh> {
  const mesh = newMesh()
  await mesh.add('one', { range: { start: 0, end: 3 } })
  await mesh.add('two', { range: { start: 3, end: 6 } })
  return mesh
}

const opened = async (
  mesh: ToyMesh,
  route: readonly string[],
  options: Partial<SessionPlan> = {}
): Promise<RingSession> => RingSession.open(mesh.parts(route), mesh.plan(options), { signal: ALWAYS })

async function tokensOf(session: RingSession, stages: number, maxTokens: number): Promise<number[]> {
  const options = { prompt: Uint32Array.from(PROMPT), stages, sampling: GREEDY, stop: [], maxTokens, context: 512 }
  const tokens: number[] = []
  for await (const event of answer(session, NO_END, options)) if (event.type === 'token') tokens.push(event.token)
  return tokens
}

const idle = async (mesh: ToyMesh): Promise<void> =>
  vi.waitFor(() => expect(mesh.idle).toBe(true), { timeout: 5_000, interval: 5 })

describe('a ring of stages', () => {
  it.each([
    ['one stage on another node', [['whole', 0, 6]], ['whole']],
    ['one stage on this node', [[ORIGIN, 0, 6]], [ORIGIN]],
    ['two stages', [['a', 0, 3], ['b', 3, 6]], ['a', 'b']], // prettier-ignore
    ['overlapping shards, the first left early', [['a', 0, 5], ['b', 2, 6]], ['a', 'b']], // prettier-ignore
    ['three stages, the middle one on this node', [['a', 0, 2], [ORIGIN, 2, 4], ['b', 4, 6]], ['a', ORIGIN, 'b']] // prettier-ignore
  ] as const)('answers like the whole model: %s', async (_, shards, route) => {
    const mesh = newMesh()
    for (const [peer, start, end] of shards) await mesh.add(peer, { range: { start, end } })
    const session = await opened(mesh, route)
    expect(session.links).toEqual(route.map(() => 'ring'))
    expect(session.rowsPerStep).toBe(64)
    expect(await tokensOf(session, route.length, 12)).toEqual(await greedyAnswer(PROMPT, LAYERS, 12))
    session.close()
    await idle(mesh)
    expect([...mesh.nodes.values()].map(({ engine }) => engine.released.length)).toEqual(shards.map(() => 1))
  })

  it('answers like the whole model with f32 between the stages, several sessions at a time', async () => {
    const mesh = await threeNodes()
    const route = ['a', ORIGIN, 'b']
    const expected = await greedyAnswer(PROMPT, LAYERS, 8)
    const sessions = await Promise.all(route.map(async () => opened(mesh, route, { dtype: 'f32' })))
    const answers = await Promise.all(sessions.map(async session => tokensOf(session, 3, 8)))
    expect(answers).toEqual([expected, expected, expected])
    for (const session of sessions) session.close()
    await idle(mesh)
  })

  it.each([
    ['a', ORIGIN],
    [ORIGIN, 'b']
  ])('carries hidden states through the origin where %s cannot reach %s', async (from, to) => {
    const mesh = await threeNodes()
    mesh.unreachable = stream => stream.protocol === RELAY_PROTOCOL && stream.from === from && stream.to === to
    const route = ['a', ORIGIN, 'b']
    const session = await opened(mesh, route)
    expect(session.links).toEqual(route.map(peer => (peer === from ? 'star' : 'ring')))
    expect(await tokensOf(session, 3, 6)).toEqual(await greedyAnswer(PROMPT, LAYERS, 6))
    session.close()
    await idle(mesh)
  })

  it('carries hidden states itself where the next stage does not admit the one before it', async () => {
    const mesh = await twoNodes()
    const { host } = mesh.node('two')
    host.admit = () => {
      throw new TypeError('broken')
    }
    const session = await opened(mesh, ['one', 'two'])
    expect(session.links).toEqual(['star', 'ring'])
    expect(await tokensOf(session, 2, 4)).toEqual(await greedyAnswer(PROMPT, LAYERS, 4))
  })

  it('says how long every stage took, in the order of the route', async () => {
    const mesh = await threeNodes()
    for (const [i, { engine }] of [...mesh.nodes.values()].entries()) engine.times = { queued: i, computed: i + 1 }
    const session = await opened(mesh, ['a', ORIGIN, 'b'])
    const { timings } = await session.step({ tokens: Uint32Array.of(1), position: 0, want: WANT_ONE })
    expect(timings.map(({ queued, computed }) => [queued, computed])).toEqual([
      [0, 1],
      [1, 2],
      [2, 3]
    ])
  })

  it('lets the chunks of a prompt overlap', async () => {
    const mesh = await twoNodes()
    const gate = Promise.withResolvers<undefined>()
    mesh.node('two').engine.beforeStep = () => gate.promise
    const session = await opened(mesh, ['one', 'two'])
    const tokens = tokensOf(session, 2, 1)
    await vi.waitFor(() => expect(mesh.node('one').engine.steps).toHaveLength(3))
    expect(mesh.node('two').engine.steps.length).toBeLessThan(2)
    gate.resolve(undefined)
    await tokens
  })
})

describe('the end of a session', () => {
  it('frees every stage when it is closed in the middle of a step, and rejects what is under way', async () => {
    const mesh = await threeNodes()
    const gate = Promise.withResolvers<undefined>()
    mesh.node('b').engine.beforeStep = () => gate.promise
    const session = await opened(mesh, ['a', ORIGIN, 'b'])
    const steps = [1, 2].map(async n => session.step({ tokens: Uint32Array.of(n), position: n - 1, want: WANT_ONE }))
    await vi.waitFor(() => expect(mesh.node('b').engine.steps).toHaveLength(1))
    session.close()
    for (const step of steps) await expect(step).rejects.toMatchObject({ code: 'CANCELLED' })
    await expect(session.step({ tokens: Uint32Array.of(1), position: 2, want: WANT_ONE })).rejects.toMatchObject({
      code: 'CANCELLED'
    })
    gate.resolve(undefined)
    await idle(mesh)
  })

  it('frees every stage when whoever reads the answer leaves', async () => {
    const mesh = await threeNodes()
    const session = await opened(mesh, ['a', ORIGIN, 'b'])
    const options = { prompt: Uint32Array.of(1, 2), stages: 3, sampling: GREEDY, stop: [], maxTokens: 50, context: 512 }
    const events: AnswerEvent[] = []
    for await (const event of answer(session, NO_END, options)) if (events.push(event) === 3) break
    session.close()
    await idle(mesh)
    expect(events.map(({ type }) => type)).toEqual(['token', 'token', 'token'])
  })

  it('comes at once, with the peer, when a stage resets its stream', async () => {
    const mesh = await threeNodes()
    mesh.node('b').engine.beforeStep = () => new Promise(() => undefined)
    const session = await opened(mesh, ['a', ORIGIN, 'b'])
    const steps = [0, 1].map(async n => session.step({ tokens: Uint32Array.of(n), position: n, want: WANT_ONE }))
    await vi.waitFor(() => expect(mesh.node('b').engine.steps).toHaveLength(1))
    mesh.kill('b')
    for (const step of steps) await expect(step).rejects.toMatchObject({ code: 'STAGE_LOST', details: { peer: 'b' } })
    await vi.waitFor(() => expect([...mesh.nodes.values()].map(({ host }) => host.sessions)).toEqual([0, 0, 0]))
  })

  it('comes when a node leaves, and names that node and not the one before it', async () => {
    const mesh = await threeNodes()
    mesh.node('b').engine.beforeStep = () => new Promise(() => undefined)
    const session = await opened(mesh, ['a', ORIGIN, 'b'])
    const step = session.step({ tokens: Uint32Array.of(1), position: 0, want: WANT_ONE })
    await vi.waitFor(() => expect(mesh.node('b').engine.steps).toHaveLength(1))
    mesh.node('b').host.stop()
    await expect(step).rejects.toMatchObject({ code: 'STAGE_LOST', details: { peer: 'b', start: 4, leave: 6 } })
  })

  it('comes when an engine dies in the middle of a step', async () => {
    const mesh = await twoNodes()
    const { engine } = mesh.node('two')
    engine.beforeStep = () => engine.crash()
    const session = await opened(mesh, ['one', 'two'])
    const step = session.step({ tokens: Uint32Array.of(1), position: 0, want: WANT_ONE })
    await expect(step).rejects.toMatchObject({ details: { peer: 'two', status: 'ENGINE_FAILED' } })
    await idle(mesh)
  })

  it('does not come when the link between two stages is lost and both live', async () => {
    const mesh = await twoNodes()
    const session = await opened(mesh, ['one', 'two'])
    const relay = mesh.streams.find(({ protocol }) => protocol === RELAY_PROTOCOL)
    relay?.near.abort(new Error('the link is down'))
    expect(await tokensOf(session, 2, 6)).toEqual(await greedyAnswer(PROMPT, LAYERS, 6))
    expect(mesh.streams.filter(({ protocol }) => protocol === RELAY_PROTOCOL)).toHaveLength(2)
  })
})

describe('opening a session', () => {
  it('frees the stages that did open when one refuses', async () => {
    const mesh = await twoNodes()
    const first = await opened(mesh, ['one', 'two'], { context: 512 })
    await expect(opened(mesh, ['one', 'two'], { context: 512 })).rejects.toMatchObject({
      code: 'NO_ROUTE',
      details: { status: 'BUSY' }
    })
    first.close()
    await idle(mesh)
  })

  it('names the stage that cannot be reached', async () => {
    const mesh = await twoNodes()
    mesh.unreachable = ({ to }) => to === 'two'
    await expect(opened(mesh, ['one', 'two'])).rejects.toMatchObject({
      code: 'STAGE_LOST',
      details: { peer: 'two' }
    })
    await idle(mesh)
  })

  it('stops with its signal, and closes what opens later', async () => {
    const mesh = await twoNodes()
    const gate = Promise.withResolvers<undefined>()
    const parts = mesh.parts(['one', 'two'])
    const slow = {
      ...parts,
      openChannel: async (...args: Parameters<typeof parts.openChannel>) => {
        if (args[0].peer === 'two') await gate.promise
        return parts.openChannel(...args)
      }
    }
    const controller = new AbortController()
    const opening = RingSession.open(slow, mesh.plan(), { signal: controller.signal })
    await vi.waitFor(() => expect(mesh.node('one').host.sessions).toBe(1))
    controller.abort(new Error('no longer wanted'))
    gate.resolve(undefined)
    await expect(opening).rejects.toThrow('no longer wanted')
    await idle(mesh)
  })
})
