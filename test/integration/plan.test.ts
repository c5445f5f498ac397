import { readFile, stat, writeFile } from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { EstimateView, PlanView } from '../../node/control/plan.js'
import { type Mesh, startMesh, succeed } from '../support/mesh.js'
import { type TemporaryFolder, temporaryFolder } from '../support/temporary.js'
import { writeTinyModel } from '../support/tiny-model.js'
import { waitFor } from '../support/wait-for.js'

const ANSWERS = 4
const REQUEST = { model: 'tiny', prompt: 'the', raw: true, sampling: { temperature: 0, maxTokens: 16 } }
/** Milliseconds until a node that was stopped is not counted any more. */
const GONE_LIMIT = 60_000

let folder: TemporaryFolder
let file: string
let mesh: Mesh

beforeAll(async () => {
  folder = await temporaryFolder()
  file = (await writeTinyModel(folder.file('tiny.gguf'), { architecture: 'qwen3' })).file
  const nodes = [{ layers: '0-4' }, { layers: '4-8' }]
  mesh = await startMesh({ nodes, models: [{ file, name: 'tiny' }] })
})

afterAll(async () => {
  await mesh[Symbol.asyncDispose]()
  await folder.remove()
})

async function plan(index: number, ...args: string[]): Promise<PlanView> {
  const { stdout } = await succeed(mesh.node(index).home, ['plan', ...args, '--json'])
  return JSON.parse(stdout) as PlanView
}

async function history(index: number): Promise<EstimateView[]> {
  const { stdout } = await succeed(mesh.node(index).home, ['plan', '--history', '--json'])
  return JSON.parse(stdout) as EstimateView[]
}

// In this order: each continues where the one before it ended.
describe('flambeau plan', () => {
  it('names the route that an answer then takes, and says that alone would be faster', async () => {
    const said = await plan(0, 'tiny', '--prompt-tokens', '32', '--max-tokens', '64')
    expect(said).toMatchObject({ model: 'tiny', layers: 8, promptTokens: 32, maxTokens: 64, alone: { fits: true } })
    if (said.swarm.kind !== 'route') throw new Error(`no route: ${said.swarm.kind}`)
    const { stages, speed } = said.swarm
    const { stats } = await mesh.ask(0, REQUEST)
    expect(stages.map(({ name, start, end }) => [name, start, end])).toEqual([
      ['node-0', 0, 4],
      ['node-1', 4, 8]
    ])
    expect(stats.stages.map(({ peer, start, end }) => [peer, start, end])).toEqual(
      stages.map(({ peer, start, end }) => [peer, start, end])
    )
    expect(stages.every(({ milliseconds }) => milliseconds > 0)).toBe(true)
    expect(speed.tokensPerSecond).toBeGreaterThan(0)
    expect(said.faster).toBe('alone')
    const { stdout } = await mesh.run(0, ['plan', 'tiny'])
    expect(stdout).toContain('Alone would be faster')
    expect(stdout).toMatch(/node-1 .*4-8/)
  })

  it('keeps one entry an answer, which correct what is said', async () => {
    for (let i = 1; i < ANSWERS; i++) await mesh.ask(0, REQUEST)
    const kept = await history(0)
    expect(kept.length).toBe(ANSWERS)
    for (const { model, stages, estimated, measured } of kept) {
      expect([model, stages]).toEqual(['tiny', 2])
      for (const { tokensPerSecond, firstTokenMs } of [estimated, measured]) {
        expect(tokensPerSecond).toBeGreaterThan(0)
        expect(firstTokenMs).toBeGreaterThan(0)
      }
    }
    expect((await plan(0, 'tiny')).swarm).toMatchObject({ speed: { correctedBy: ANSWERS } })
    const { stdout } = await mesh.run(0, ['plan', '--history'])
    expect(stdout).toContain(`Median error of the last ${ANSWERS} answers`)
    // Whoever asked nothing has nothing to show.
    expect(await history(1)).toEqual([])
  })

  it('says of a small memory what the model needs', async () => {
    const [small] = [await mesh.add({ layers: '0-1', memory: 300_000 })]
    const { stdout } = await succeed(small.home, ['plan', 'tiny'])
    expect(stdout).toMatch(/does not fit here: needs .* are given/)
    await small.process.stop()
  })

  it('says of a file that nobody shares what it takes, and whether the swarm has room for it', async () => {
    const other = await writeTinyModel(folder.file('other.gguf'), { architecture: 'llama', seed: 7 })
    const said = await plan(0, other.file)
    expect(said).toMatchObject({ layers: 8, swarm: { kind: 'unshared', fits: true }, alone: { fits: true } })
    expect(said.manifest).toBeUndefined()
    // The owner's own file is the model that it became.
    expect(await plan(0, file)).toMatchObject({ model: 'tiny', swarm: { kind: 'route' } })
  })

  it('works without a daemon, for a member that serves nothing', async () => {
    const member = await mesh.member()
    const { stdout } = await succeed(member, ['plan', 'tiny', '--json'])
    const said = JSON.parse(stdout) as PlanView
    expect(said).toMatchObject({ swarm: { kind: 'route' }, alone: { fits: true } })
    expect(said.alone.speed).toBeUndefined()
    expect((await succeed(member, ['plan', '--history'])).stdout).toBe('No answers yet.\n')
  })

  it('refuses what nobody offers, and what is no model', async () => {
    const words = folder.file('words.gguf')
    await writeFile(words, 'Once upon a time')
    expect((await mesh.run(0, ['plan', 'huge'])).code).toBe(4)
    expect((await mesh.run(0, ['plan', words])).code).toBe(6)
    expect((await mesh.run(0, ['plan'])).code).toBe(2)
  })

  it('says which layers are missing once a node has stopped', async () => {
    await mesh.node(1).process.stop()
    const missing = async (): Promise<boolean> => (await plan(0, 'tiny')).swarm.kind === 'missing'
    await waitFor(missing, { what: 'the layers to be missed', limit: GONE_LIMIT })
    const { swarm } = await plan(0, 'tiny')
    expect(swarm).toMatchObject({ ranges: [{ start: 4, end: 8 }] })
    expect((await mesh.run(0, ['plan', 'tiny'])).stdout).toContain('nobody serves layers 4-8')
  })

  it('still knows after a restart, and while no daemon runs, what it expected before', async () => {
    const before = await history(0)
    await mesh.node(0).process.stop()
    expect(await history(0)).toEqual(before)
    const path = `${mesh.node(0).home.path}/estimates.json`
    expect((await stat(path)).mode & 0o777).toBe(0o600)
    expect(await readFile(path, 'utf8')).not.toContain('"the')
    await mesh.restart(0)
    expect(await history(0)).toEqual(before)
  })
})
