import { setImmediate } from 'node:timers/promises'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { STAGE_PROTOCOL, RELAY_PROTOCOL } from '../../../protocol/ids.js'
import { answerWhile, Meshes, PAIRS, PROMPT, ROUTE, TOKENS, undisturbed } from './course.js'
import { GREEDY } from './greedy.js'
import { ORIGIN, type ToyMesh } from './toy-mesh.js'

const WARM = { ...GREEDY, temperature: 0.8, topK: 20, seed: 3 }

const meshes = new Meshes()
afterEach(() => meshes.stop())

describe('an answer in the middle of which stages are lost', () => {
  it.each([
    ['the first', ['a'], ['aa', 'b', 'c']],
    ['the one in the middle', ['b'], ['a', 'bb', 'c']],
    ['the last', ['c'], ['a', 'b', 'cc']],
    ['two neighbours', ['a', 'b'], ['aa', 'bb', 'c']],
    ['two that are no neighbours', ['a', 'c'], ['aa', 'b', 'cc']],
    ['all of them', ['a', 'b', 'c'], ['aa', 'bb', 'cc']]
  ])('goes on with the same tokens: %s', async (_, lost, stages) => {
    for (const exactReplay of [false, true]) {
      const mesh = await meshes.of(PAIRS)
      const kill = (): void => lost.forEach(peer => mesh.kill(peer))
      const result = await answerWhile(mesh, { plan: { exactReplay }, at: { 5: kill } })
      expect(result).toMatchObject({ tokens: await undisturbed(), stages })
      expect(mesh.reroutes.flatMap(({ left }) => left.map(({ stage }) => stage.peer)).sort()).toEqual(lost)
      await vi.waitFor(() => expect(mesh.idle).toBe(true))
    }
  })

  it.each(['a', 'b', 'c'])('goes on when %s is lost while the prompt is under way', async peer => {
    const mesh = await meshes.of(PAIRS)
    let steps = 0
    mesh.node(peer).engine.beforeStep = () => {
      if (++steps === 3) mesh.kill(peer)
    }
    expect((await answerWhile(mesh, {})).tokens).toEqual(await undisturbed())
    expect(mesh.reroutes).toHaveLength(1)
  })

  it('goes on when one is lost after another, also those that took their place', async () => {
    const mesh = await meshes.of({ ...PAIRS, bbb: [2, 4] })
    const at = { 3: () => mesh.kill('b'), 6: () => mesh.kill('a'), 9: () => mesh.kill('bb'), 12: () => mesh.kill('c') }
    expect(await answerWhile(mesh, { at })).toMatchObject({
      tokens: await undisturbed(),
      stages: ['aa', 'bbb', 'cc']
    })
    expect(mesh.reroutes).toHaveLength(4)
  })

  it('goes on when the one that takes its place is lost in the middle of the replay', async () => {
    const mesh = await meshes.of({ ...PAIRS, bbb: [2, 4] })
    mesh.node('bb').engine.beforeStep = () => mesh.kill('bb')
    const result = await answerWhile(mesh, { at: { 5: () => mesh.kill('b') } })
    expect(result).toMatchObject({ tokens: await undisturbed(), stages: ['a', 'bbb', 'c'] })
  })

  it('goes on when the stage before the lost one is lost in the middle of its replay', async () => {
    const mesh = await meshes.of(PAIRS)
    mesh.node('bb').engine.beforeStep = () => mesh.kill('a')
    const result = await answerWhile(mesh, { plan: { exactReplay: true }, at: { 5: () => mesh.kill('b') } })
    expect(result).toMatchObject({ tokens: await undisturbed(), stages: ['aa', 'bb', 'c'] })
  })

  it('draws the same tokens at a temperature', async () => {
    const expected = await answerWhile(await meshes.of(PAIRS), { sampling: WARM })
    const mesh = await meshes.of(PAIRS)
    const at = { 4: () => mesh.kill('b'), 8: () => mesh.kill('c'), 12: () => mesh.kill('a') }
    expect((await answerWhile(mesh, { sampling: WARM, at })).tokens).toEqual(expected.tokens)
    expect(new Set(expected.tokens).size).toBeGreaterThan(3)
  })

  it('names the engine that died, and goes on elsewhere', async () => {
    const mesh = await meshes.of(PAIRS)
    const { engine } = mesh.node('b')
    const result = await answerWhile(mesh, { at: { 5: () => engine.crash() } })
    expect(result).toMatchObject({ tokens: await undisturbed(), stages: ['a', 'bb', 'c'] })
    expect(mesh.reroutes[0]?.left[0]?.reason).toMatch(/engine/)
  })
})

describe('what takes the place of a lost stage', () => {
  it('may be a chain of smaller ones, each fed by the one before it', async () => {
    const mesh = await meshes.of({ a: [0, 1], b: [1, 5], c: [5, 6], b1: [1, 2], b2: [2, 4], b3: [4, 5] })
    const result = await answerWhile(mesh, { at: { 5: () => mesh.kill('b') } })
    expect(result).toMatchObject({ tokens: await undisturbed(), stages: ['a', 'b1', 'b2', 'b3', 'c'] })
    expect(result.links).toEqual(['ring', 'ring', 'ring', 'ring', 'ring'])
  })

  it('may hold more than is needed, and is left early', async () => {
    const mesh = await meshes.of({ a: [0, 2], b: [2, 4], c: [4, 6], wide: [2, 6] })
    const result = await answerWhile(mesh, { at: { 5: () => mesh.kill('b') } })
    expect(result).toMatchObject({ tokens: await undisturbed(), stages: ['a', 'wide', 'c'] })
  })

  it('may be found only where stages around it are replaced too', async () => {
    for (const [others, stages] of [
      [{ wide: [1, 6] }, ['a', 'wide', 'c']],
      [{ whole: [0, 6] }, ['whole', 'c']],
      [{ x: [2, 3], y: [3, 6] }, ['a', 'x', 'y', 'c']]
    ] as [Record<string, [number, number]>, string[]][]) {
      const mesh = await meshes.of({ a: [0, 2], b: [2, 4], c: [4, 6], ...others })
      const result = await answerWhile(mesh, { at: { 5: () => mesh.kill('b') } })
      expect(result).toMatchObject({ tokens: await undisturbed(), stages })
    }
  })

  it('may be on the node of the origin, or of a stage that stays', async () => {
    const mesh = await meshes.of({ a: [0, 2], b: [2, 4], c: [4, 6], [ORIGIN]: [2, 4] })
    const result = await answerWhile(mesh, { at: { 5: () => mesh.kill('b') } })
    expect(result).toMatchObject({ tokens: await undisturbed(), stages: ['a', ORIGIN, 'c'] })
  })

  it('may be reached only through the origin', async () => {
    const mesh = await meshes.of(PAIRS)
    mesh.unreachable = ({ from, to, protocol }) =>
      protocol === RELAY_PROTOCOL && ((from === 'a' && to === 'bb') || (from === 'bb' && to === 'c'))
    const result = await answerWhile(mesh, { at: { 5: () => mesh.kill('b'), 10: () => mesh.kill('c') } })
    expect(result).toMatchObject({ tokens: await undisturbed(), stages: ['a', 'bb', 'cc'] })
    expect(result.links).toEqual(['star', 'ring', 'ring'])
  })

  it('is filled from further ahead where the stage before it has no journal any more', async () => {
    const mesh = await meshes.of(PAIRS)
    const forget = (): void => {
      mesh.forget('a')
      mesh.kill('b')
    }
    const result = await answerWhile(mesh, { at: { 5: forget } })
    expect(result.tokens).toEqual(await undisturbed())
    expect(result.stages[2]).toBe('c')
  })

  it('is never one that refuses or cannot be reached', async () => {
    const mesh = await meshes.of({ ...PAIRS, bbb: [2, 4] })
    mesh.node('bb').shards.list()[0]?.reserve(500)
    const result = await answerWhile(mesh, { at: { 5: () => mesh.kill('b') } })
    expect(result).toMatchObject({ tokens: await undisturbed(), stages: ['a', 'bbb', 'c'] })
  })
})

describe('a lost stage whose layers nobody else has', () => {
  it('ends the answer with the reason, and frees the others', async () => {
    const mesh = await meshes.of({ a: [0, 2], b: [2, 4], c: [4, 6] })
    const asked = answerWhile(mesh, { at: { 5: () => mesh.kill('b') } })
    await expect(asked).rejects.toMatchObject({ code: 'STAGE_LOST', details: { peer: 'b' } })
    await vi.waitFor(() => expect(mesh.idle).toBe(true))
  })

  it('is waited for where somebody may come', async () => {
    const mesh = await meshes.of({ a: [0, 2], b: [2, 4], c: [4, 6] })
    mesh.lookAround = async attempt => {
      if (attempt === 2) await mesh.add('late', { range: { start: 2, end: 4 } })
      return true
    }
    const result = await answerWhile(mesh, { at: { 5: () => mesh.kill('b') } })
    expect(result).toMatchObject({ tokens: await undisturbed(), stages: ['a', 'late', 'c'] })
  })

  /** Both holders are dead, the directory goes on showing them, and each look takes six seconds: they are tried again. */
  async function withDeadHolders(mostLooks: number, onLook: (mesh: ToyMesh, look: number) => unknown) {
    const mesh = await meshes.of({ ...PAIRS })
    const kill = (): void => ['b', 'bb'].forEach(peer => mesh.kill(peer))
    let [ahead, looks] = [0, 0]
    mesh.now = () => performance.now() + ahead
    mesh.lookAround = async () => {
      ahead += 6_000
      await onLook(mesh, ++looks)
      return looks < mostLooks
    }
    return answerWhile(mesh, { at: { 5: kill } })
  }

  it('is waited for while those who are gone are still shown, however often they are tried', async () => {
    const result = await withDeadHolders(10, async (mesh, look) => {
      if (look === 7) await mesh.add('late', { range: { start: 2, end: 4 } })
    })
    expect(result).toMatchObject({ tokens: await undisturbed(), stages: ['a', 'late', 'c'] })
  })

  it('ends the answer once that time is over', async () => {
    let last = 0
    const asked = withDeadHolders(10, (_, look) => (last = look))
    await expect(asked).rejects.toMatchObject({ code: 'STAGE_LOST' })
    expect(last).toBe(10)
  })
})

describe('an answer that waits', () => {
  it('goes on waiting, however often those who are gone were tried', async () => {
    const mesh = await meshes.of({ a: [0, 2], b: [2, 4], c: [4, 6] })
    let now = 0
    let tried = 0
    mesh.now = () => now
    mesh.lookAround = async () => {
      now += 1_000
      if (tried === 20 && !mesh.nodes.has('late')) await mesh.add('late', { range: { start: 2, end: 4 } })
      return true
    }
    const kill = (): void => {
      // The directory still shows it, and whenever it is no longer left out it is tried.
      mesh.unreachable = ({ to }) => to === 'b' && ++tried > 0
      for (const { to, near } of mesh.streams) if (to === 'b') near.abort(new Error('out of power'))
    }
    const result = await answerWhile(mesh, { at: { 5: kill } })
    expect(result).toMatchObject({ tokens: await undisturbed(), stages: ['a', 'late', 'c'] })
    expect(tried).toBeGreaterThan(10)
  })
})

describe('a stage that asks to be left while the answer waits for another one', () => {
  it('is left, since it may be on its way to the layers that nobody has', async () => {
    const mesh = await meshes.of({ a: [0, 2], aa: [0, 2], b: [2, 4], c: [4, 6] })
    const { host, shards } = mesh.node('a')
    const [shard] = shards.list()
    if (shard === undefined) throw new Error('a serves nothing')
    mesh.lookAround = async attempt => {
      if (attempt === 1) host.moveFrom(shard, 60_000)
      if (shard.sessions === 0 && !mesh.nodes.has('late')) await mesh.add('late', { range: { start: 2, end: 4 } })
      await setImmediate()
      return true
    }
    const result = await answerWhile(mesh, { at: { 5: () => mesh.kill('b') } })
    expect(result).toMatchObject({ tokens: await undisturbed(), stages: ['aa', 'late', 'c'] })
  })
})

describe('a stage that failed a moment ago and lives', () => {
  it('is taken again where nobody else has its layers', async () => {
    const mesh = await meshes.of(PAIRS)
    const blink = (): void => {
      for (const { to, near } of mesh.streams) if (to === 'b') near.abort(new Error('for a moment'))
    }
    const result = await answerWhile(mesh, { at: { 5: blink, 10: () => mesh.kill('bb') } })
    expect(result).toMatchObject({ tokens: await undisturbed(), stages: ['a', 'b', 'c'] })
  })

  it('is taken again once its engine is there again', async () => {
    const mesh = await meshes.of(PAIRS)
    const { engine, shards } = mesh.node('b')
    const at = {
      5: () => engine.crash(),
      7: async () => {
        engine.revive()
        await shards.engineReady()
      },
      10: () => mesh.kill('bb')
    }
    const result = await answerWhile(mesh, { at })
    expect(result).toMatchObject({ tokens: await undisturbed(), stages: ['a', 'b', 'c'] })
  })
})

describe('a link that is lost between two stages that live', () => {
  it('is made anew, without a replay of what has arrived', async () => {
    const mesh = await meshes.of(PAIRS)
    const cut = (): void =>
      mesh.streams.find(({ from, to }) => from === 'a' && to === 'b')?.near.abort(new Error('cut'))
    const result = await answerWhile(mesh, { at: { 5: cut } })
    expect(result).toMatchObject({ tokens: await undisturbed(), stages: ROUTE, links: ['ring', 'ring', 'ring'] })
    expect(mesh.reroutes).toEqual([])
    const rows = mesh.node('b').engine.steps.reduce((sum, step) => sum + step.rows, 0)
    expect(rows).toBe(PROMPT.length + TOKENS - 1)
  })

  it('goes through the origin where it cannot be made anew', async () => {
    const mesh = await meshes.of(PAIRS)
    const cut = (): void => {
      mesh.unreachable = ({ from, protocol }) => protocol === RELAY_PROTOCOL && from === 'a'
      mesh.streams.find(({ from, to }) => from === 'a' && to === 'b')?.far.abort(new Error('cut'))
    }
    const result = await answerWhile(mesh, { at: { 5: cut } })
    expect(result).toMatchObject({ tokens: await undisturbed(), stages: ROUTE, links: ['star', 'ring', 'ring'] })
  })
})

describe('replays', () => {
  /** Rows of each step that a node ran. */
  const rowsOf = (mesh: ToyMesh, peer: string): number[] => mesh.node(peer).engine.steps.map(({ rows }) => rows)

  it('take as few steps as fit when they are fast, and the same as before when they are exact', async () => {
    const mesh = await meshes.of(PAIRS)
    await answerWhile(mesh, { at: { 20: () => mesh.kill('b') } })
    const all = PROMPT.length + TOKENS - 1
    expect(rowsOf(mesh, 'bb').slice(0, 4)).toEqual([64, 64, 64, 27])
    expect(rowsOf(mesh, 'bb').reduce((sum, rows) => sum + rows, 0)).toBe(all)

    const exact = await meshes.of(PAIRS)
    await answerWhile(exact, { plan: { exactReplay: true }, at: { 20: () => exact.kill('b') } })
    const before = rowsOf(exact, 'b')
    expect(rowsOf(exact, 'bb').slice(0, before.length)).toEqual(before)
    expect(rowsOf(exact, 'bb').reduce((sum, rows) => sum + rows, 0)).toBe(all)
  })

  it('reach only the stages that are new', async () => {
    const mesh = await meshes.of(PAIRS)
    await answerWhile(mesh, { at: { 10: () => mesh.kill('b') } })
    const all = PROMPT.length + TOKENS - 1
    for (const peer of ['a', 'c']) expect(rowsOf(mesh, peer).reduce((sum, rows) => sum + rows, 0)).toBe(all)
    expect(mesh.streams.filter(({ to, protocol }) => to === 'bb' && protocol === STAGE_PROTOCOL)).toHaveLength(1)
  })
})
