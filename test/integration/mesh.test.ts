import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Answer } from '../../cli/answer.js'
import { memoryFor } from '../../cli/demo/reference.js'
import type { GenerateRequest } from '../../node/control/contract.js'
import type { FlambeauHome } from '../support/flambeau-process.js'
import { type Mesh, startMesh } from '../support/mesh.js'
import { EMBER, stories260k } from '../support/models.js'
import { type TemporaryFolder, temporaryFolder } from '../support/temporary.js'
import { writeTinyModel } from '../support/tiny-model.js'
import { wholeModel } from '../support/whole-model.js'

const ARCHITECTURES = ['llama', 'qwen2', 'qwen3', 'qwen3moe'] as const
const MAX_TOKENS = 40
const GREEDY = { temperature: 0, seed: 0, maxTokens: MAX_TOKENS }
/** What makes the tokens comparable on a command line, and the request that means the same. */
const FLAGS = ['--temperature', '0', '--seed', '0', '--max-tokens', String(MAX_TOKENS), '--dtype', 'f32']
const FRANCE = 'What is the capital of France?'

const greedy = (model: string, prompt: string): GenerateRequest => ({ model, prompt, sampling: GREEDY, dtype: 'f32' })

/** The route's ranges, in its order. */
const ranges = ({ route }: Pick<Answer, 'route'>): string[] => route.map(({ start, end }) => `${start}-${end}`)

/** Answers of the whole model alone, in steps as on a route of `stages` stages. */
async function alone(file: string, requests: readonly GenerateRequest[], stages = 3): Promise<number[][]> {
  await using whole = await wholeModel(file)
  const answers: number[][] = []
  for (const request of requests) answers.push(await whole.answer(request, stages))
  return answers
}

describe('three nodes with pinned layers', () => {
  let folder: TemporaryFolder | undefined
  let mesh: Mesh
  let files: string[]
  let france: number[] | undefined

  beforeAll(async () => {
    const created = (folder = await temporaryFolder())
    const tiny = ARCHITECTURES.map(architecture =>
      writeTinyModel(created.file(`${architecture}.gguf`), { architecture })
    )
    files = (await Promise.all(tiny)).map(model => model.file)
    mesh = await startMesh({
      nodes: [{ layers: '0-3' }, { layers: '3-6' }, { layers: '6-8' }],
      models: [{ file: EMBER, name: 'ember' }, ...ARCHITECTURES.map((name, i) => ({ name, file: files[i] ?? '' }))]
    })
    ;[france] = await alone(EMBER, [greedy('ember', FRANCE)])
  })

  afterAll(async () => {
    await mesh[Symbol.asyncDispose]()
    await folder?.remove()
  })

  it('answer ember token for token as the whole model alone, whoever is asked', async () => {
    const requests = [FRANCE, 'Can you explain how Flambeau works?', 'Who are you?'].map(prompt =>
      greedy('ember', prompt)
    )
    const expected = await alone(EMBER, requests)
    for (const [i, request] of requests.entries()) {
      const answer = await mesh.ask(i, request)
      expect(ranges(answer)).toEqual(['0-3', '3-6', '6-8'])
      expect(answer.route.map(({ local }) => local)).toEqual([0, 1, 2].map(stage => stage === i))
      expect(answer.tokens).toEqual(expected[i])
      expect(answer.tokens.length).toBeGreaterThan(3)
    }
  })

  it.each(ARCHITECTURES)('answer a random %s token for token as the whole model alone', async architecture => {
    const i = ARCHITECTURES.indexOf(architecture)
    const request = greedy(architecture, 'the otter carries a lantern over the river')
    const answer = await mesh.ask(i % 3, request)
    expect(ranges(answer)).toEqual(['0-3', '3-6', '6-8'])
    expect([answer.tokens]).toEqual(await alone(files[i] ?? '', [request]))
    expect(new Set(answer.tokens).size).toBeGreaterThan(3)
  })

  it('give the same text for the same seed whoever is asked, as the whole model does', async () => {
    const sampling = { temperature: 0.8, seed: 7, maxTokens: MAX_TOKENS }
    const request: GenerateRequest = { model: 'qwen3', prompt: 'once', sampling, dtype: 'f32' }
    const [expected] = await alone(files[ARCHITECTURES.indexOf('qwen3')] ?? '', [request])
    // One after another: what is computed together is rounded differently.
    for (const i of [0, 1, 2]) expect((await mesh.ask(i, request)).tokens).toEqual(expected)
    const other = await mesh.ask(0, { ...request, sampling: { ...sampling, seed: 8 } })
    expect(other.tokens).not.toEqual(expected)
  })

  it('give the answer for people on standard output, and the route beside it', async () => {
    const { code, stdout, stderr } = await mesh.run(1, ['run', 'ember', ...FLAGS, FRANCE])
    expect(code).toBe(0)
    expect(stdout).toBe('The capital of France is Paris.\n')
    for (const text of ['node-0', 'node-1 (this node)', 'node-2', '3-6', 'tokens/s']) expect(stderr).toContain(text)
  })

  it('take the prompt from standard input and answer as JSON', async () => {
    const { code, stdout } = await mesh.run(0, ['run', 'ember', ...FLAGS, '--json'], { input: `${FRANCE}\n` })
    expect(code).toBe(0)
    const answer = JSON.parse(stdout) as Answer & { model: string }
    expect(answer).toMatchObject({ model: 'ember', text: 'The capital of France is Paris.', reason: 'stop' })
    expect(answer.tokens).toEqual(france)
    expect(answer.stats).toMatchObject({ generatedTokens: france?.length, seed: 0 })
    expect(answer.stats.stages.map(({ name }) => name)).toEqual(['node-0', 'node-1', 'node-2'])
  })

  it('answer a member that runs no node and joins for one command', async () => {
    const member: FlambeauHome = await mesh.member()
    const answer = await member.json<Answer>(['run', 'ember', ...FLAGS, FRANCE])
    expect(answer.tokens).toEqual(france)
    expect(answer.route.map(({ local, link }) => ({ local, link }))).toEqual([
      { local: false, link: 'direct' },
      { local: false, link: 'direct' },
      { local: false, link: 'origin' }
    ])
  })

  it('send half precision unless asked otherwise, which does not change an answer the model is sure of', async () => {
    const { tokens } = await mesh.ask(2, { model: 'ember', prompt: FRANCE, sampling: GREEDY })
    expect(tokens).toEqual(france)
  })
})

describe('three nodes with little memory, started one after another', () => {
  it('cover the model without being told how, and answer as the whole model alone', async () => {
    await using folder = await temporaryFolder()
    const tiny = async (): Promise<string> =>
      (await writeTinyModel(folder.file('tiny.gguf'), { architecture: 'llama', layers: 5 })).file
    const file = stories260k() ?? (await tiny())
    const context = 512
    const rooms = [0, 2, 4].map(start => ({ start, end: Math.min(start + 2, 5) }))
    const memory = await memoryFor(file, rooms, context)
    await using mesh = await startMesh({
      nodes: memory.map(bytes => ({ memory: bytes })),
      models: [{ file, name: 'stories' }],
      context,
      oneAfterAnother: true
    })
    const request = { ...greedy('stories', 'Once upon a time'), raw: true }
    const [expected] = await alone(file, [request])
    for (const i of [0, 1, 2]) {
      const answer = await mesh.ask(i, request)
      expect(new Set(answer.route.map(({ peer }) => peer)).size).toBe(3)
      expect(answer.tokens).toEqual(expected)
    }
    expect(expected).toHaveLength(MAX_TOKENS)
  })
})
