import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { babble, type BabbleMesh, LONG, startBabble } from '../support/babble.js'
import { begun, type Mesh } from '../support/mesh.js'
import { engineOf } from '../support/processes.js'
import { waitFor } from '../support/wait-for.js'

/** Milliseconds in which a loss must have ended an answer: three times what is promised, for a busy machine. */
const LOSS_LIMIT = 15_000

let nodes: BabbleMesh
let mesh: Mesh
let expected: number[]

beforeAll(async () => {
  nodes = await startBabble(['0-3', '3-6', '6-8'])
  mesh = nodes.mesh
  expected = (await mesh.ask(0, babble(8))).tokens
})

afterAll(async () => {
  await nodes[Symbol.asyncDispose]()
})

/** Asks for a long answer, does something when it has begun; the error that ends it, and how many ms later. */
async function endOf(node: number, disturb: () => Promise<void> | void): Promise<{ error: unknown; after: number }> {
  let disturbed: number | undefined
  try {
    for await (const event of mesh.node(node).service.generate(babble(LONG))) {
      if (event.event !== 'text' || disturbed !== undefined) continue
      disturbed = performance.now()
      await disturb()
    }
  } catch (error) {
    return { error, after: performance.now() - (disturbed ?? NaN) }
  }
  throw new Error('the answer came to its end')
}

async function killEngine(node: { pid: number }): Promise<void> {
  process.kill(await engineOf(node), 'SIGKILL')
}

/** Whoever is asked gives the right answer again. */
async function answersAgain(): Promise<void> {
  await waitFor(
    async () => {
      for (const i of [0, 1, 2]) expect((await mesh.ask(i, babble(8))).tokens).toEqual(expected)
      return true
    },
    { what: 'the mesh to answer again', limit: 30_000, interval: 200 }
  )
}

it('an engine that is killed ends the answer with a clear error, is restarted and answers again', async () => {
  const node = mesh.node(1)
  const { error } = await endOf(0, () => killEngine(node.process))
  expect(error).toMatchObject({ code: 'STAGE_LOST' })
  expect(String(error)).toMatch(/layers 3-6 .*engine/)
  await waitFor(async () => (await node.service.status()).shards.length === 1, { what: 'the shard to be back' })
  const { engine, pid } = await node.service.status()
  expect(engine).toMatchObject({ state: 'ready', restarts: 1 })
  expect(pid).toBe(node.process.pid)
  await answersAgain()
})

it("the origin's own engine that is killed does the same", async () => {
  const node = mesh.node(0)
  const { error } = await endOf(0, () => killEngine(node.process))
  expect(error).toMatchObject({ code: 'STAGE_LOST' })
  await waitFor(async () => (await node.service.status()).shards.length === 1, { what: 'the shard to be back' })
  await answersAgain()
})

describe('a node that is lost in the middle of an answer', () => {
  it('ends it in time when it freezes, and serves again when it wakes up', async () => {
    const { process } = mesh.node(2)
    const { error, after } = await endOf(0, () => process.kill('SIGSTOP'))
    process.kill('SIGCONT')
    expect(error).toMatchObject({ code: 'STAGE_LOST' })
    expect(after).toBeLessThan(LOSS_LIMIT)
    await answersAgain()
  })

  it('ends it in time when it dies; then the model is incomplete at once, and complete when it is back', async () => {
    const { process, home } = mesh.node(1)
    const { error, after } = await endOf(0, () => process.kill('SIGKILL'))
    expect(error).toMatchObject({ code: 'STAGE_LOST' })
    expect(String(error)).toContain('3-6')
    expect(after).toBeLessThan(LOSS_LIMIT)

    const asked = await mesh.run(0, ['run', 'babble', '--raw', 'the'])
    expect(asked.stderr).toMatch(/layers 3-6/)
    expect(asked.code).toBe(5)

    await mesh.restart(1)
    expect(mesh.node(1).home).toBe(home)
    await answersAgain()
  })

  it('the command says which stage is lost, with exit code 8', async () => {
    const command = mesh
      .node(0)
      .home.launch(['run', 'babble', '--raw', '--temperature', '0', '--max-tokens', String(LONG), 'the'])
    await begun(command)
    mesh.node(2).process.kill('SIGKILL')
    const { code, stderr } = await command.ended
    expect(stderr).toMatch(/layers 6-8/)
    expect(code).toBe(8)
    await mesh.restart(2)
    await answersAgain()
  })
})

it('a model that nobody offers has exit code 4, and the models that there are', async () => {
  const { code, stderr } = await mesh.run(0, ['run', 'blather', 'the'])
  expect(code).toBe(4)
  expect(stderr).toMatch(/"blather".*babble/)
})

it('a node that stops in order is missed at once', async () => {
  expect(await mesh.node(1).process.stop()).toMatchObject({ code: 0 })
  const [model] = await mesh.node(0).service.models()
  expect(model).toMatchObject({ name: 'babble', complete: false, missing: [{ start: 3, end: 6 }] })
  const { code, stderr } = await mesh.run(0, ['run', 'babble', '--raw', 'the'])
  expect(stderr).toMatch(/layers 3-6/)
  expect(code).toBe(5)
})
