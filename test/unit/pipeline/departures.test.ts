import { afterEach, describe, expect, it, vi } from 'vitest'
import { answerWhile, Meshes, PAIRS, PROMPT, ROUTE, undisturbed } from './course.js'
import type { ToyMesh } from './toy-mesh.js'

const meshes = new Meshes()
afterEach(() => meshes.stop())

describe('a stage that is asked to leave', () => {
  const drain = (mesh: ToyMesh, peer: string): void => {
    mesh.hidden.add(peer)
    void mesh.node(peer).host.drain({ deadlineMs: 60_000 })
  }
  /** Waits for what goes on beside the answer. */
  const moved = (mesh: ToyMesh, peers: readonly string[]) => async (): Promise<void> =>
    vi.waitFor(() => expect(leftOf(mesh)).toEqual(peers), { timeout: 5_000 })
  const leftOf = (mesh: ToyMesh): string[] => mesh.reroutes.flatMap(({ left }) => left.map(({ stage }) => stage.peer))
  /** The rows that a node ran. */
  const rowsOf = (mesh: ToyMesh, peer: string): number =>
    mesh.node(peer).engine.steps.reduce((sum, step) => sum + step.rows, 0)

  it.each([
    ['the first', ['a'], ['aa', 'b', 'c']],
    ['the one in the middle', ['b'], ['a', 'bb', 'c']],
    ['the last', ['c'], ['a', 'b', 'cc']],
    ['all at once', ['a', 'b', 'c'], ['aa', 'bb', 'cc']]
  ])('is replaced while it goes on: %s', async (_, leaving, stages) => {
    for (const exactReplay of [false, true]) {
      const mesh = await meshes.of(PAIRS)
      const at = { 3: () => leaving.forEach(peer => drain(mesh, peer)), 60: moved(mesh, leaving) }
      const result = await answerWhile(mesh, { plan: { exactReplay }, at, tokens: 200 })
      expect(result).toMatchObject({ tokens: await undisturbed(200), stages })
      for (const { left } of mesh.reroutes) expect(left.filter(({ reason }) => reason !== undefined)).toEqual([])
      // Until then it went on: more than it had seen when it was asked.
      for (const peer of leaving) expect(rowsOf(mesh, peer)).toBeGreaterThan(PROMPT.length + 3)
      await vi.waitFor(() => expect(mesh.idle).toBe(true))
    }
  })

  it('is replaced in the middle of the prompt, and by a chain', async () => {
    const mesh = await meshes.of({ a: [0, 2], b: [2, 4], c: [4, 6], b1: [2, 3], b2: [3, 4] })
    const result = await answerWhile(mesh, { at: { 0: () => drain(mesh, 'b'), 60: moved(mesh, ['b']) }, tokens: 100 })
    expect(result).toMatchObject({ tokens: await undisturbed(100), stages: ['a', 'b1', 'b2', 'c'] })
  })

  it('is replaced although another one is lost at the same time', async () => {
    for (const lost of ['a', 'b', 'bb', 'c']) {
      const mesh = await meshes.of({ ...PAIRS, bbb: [2, 4] })
      mesh.node('bb').engine.beforeStep = () => mesh.kill(lost)
      const result = await answerWhile(mesh, { at: { 3: () => drain(mesh, 'b') }, tokens: 100 })
      expect(result.tokens).toEqual(await undisturbed(100))
      expect(result.stages).not.toContain(lost)
    }
  })

  it('goes on to the end where nobody else has its layers', async () => {
    const mesh = await meshes.of({ a: [0, 3], b: [3, 6] })
    const result = await answerWhile(mesh, { route: ['a', 'b'], at: { 3: () => drain(mesh, 'b') } })
    expect(result).toMatchObject({ tokens: await undisturbed(), stages: ['a', 'b'] })
  })

  it('is replaced at once, with a replay, where the one before it has no journal or no way to the new one', async () => {
    for (const hinder of [
      (mesh: ToyMesh) => mesh.forget('a'),
      (mesh: ToyMesh) => (mesh.unreachable = ({ from, to }) => from === 'a' && to === 'bb')
    ]) {
      const mesh = await meshes.of(PAIRS)
      const leave = (): void => {
        hinder(mesh)
        drain(mesh, 'b')
      }
      const at = { 3: leave, 60: async () => vi.waitFor(() => expect(leftOf(mesh)).toContain('b'), { timeout: 5_000 }) }
      const result = await answerWhile(mesh, { at, tokens: 100 })
      expect(result.tokens).toEqual(await undisturbed(100))
      expect(result.stages).toContain('bb')
    }
  })
})

describe('a stage that is slow', () => {
  const PACE = 64

  it('is not lost, but replaced while it goes on where that pays', async () => {
    const mesh = await meshes.of(PAIRS)
    const asked: [string, number][] = []
    // What a stage says of its time is measured on this clock.
    let clock = 0
    mesh.now = () => clock
    mesh.node('b').engine.beforeStep = () => (clock += 100)
    mesh.isSlow = (peer, seconds) => asked.push([peer, seconds]) > 0
    const moved = async (): Promise<void> => vi.waitFor(() => expect(mesh.reroutes).toHaveLength(1), { timeout: 5_000 })
    const result = await answerWhile(mesh, { at: { [PACE + 20]: moved }, tokens: 2 * PACE })
    expect(result).toMatchObject({ tokens: await undisturbed(2 * PACE), stages: ['a', 'bb', 'c'] })
    expect(asked).toHaveLength(1)
    expect(asked[0]).toEqual(['b', expect.closeTo(0.1) as number])
  })

  it('goes on where nobody is better, or whoever is cannot be had', async () => {
    const alone = await meshes.of({ a: [0, 3], b: [3, 6] })
    alone.isSlow = () => true
    const result = await answerWhile(alone, { route: ['a', 'b'], tokens: 3 * PACE })
    expect(result).toMatchObject({ tokens: await undisturbed(3 * PACE), stages: ['a', 'b'] })
    const full = await meshes.of(PAIRS)
    full.isSlow = () => true
    for (const peer of ['aa', 'bb', 'cc']) full.node(peer).shards.list()[0]?.reserve(500)
    expect(await answerWhile(full, { tokens: 3 * PACE })).toMatchObject({ stages: ROUTE })
  })
})
