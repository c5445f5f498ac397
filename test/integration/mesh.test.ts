import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { memoryFor } from '../../cli/demo/reference.js'
import type { GenerateRequest } from '../../node/control/contract.js'
import type { Answer } from '../../cli/answer.js'
import { type Mesh, startMesh } from '../support/mesh.js'
import { EMBER, stories260k } from '../support/models.js'
import { type TemporaryFolder, temporaryFolder } from '../support/temporary.js'
import { writeTinyModel } from '../support/tiny-model.js'
import { wholeModel } from '../support/whole-model.js'

const GREEDY = { temperature: 0, seed: 0, maxTokens: 40 }

/** The route's ranges, in its order. */
const ranges = ({ route }: Answer): string[] => route.map(({ start, end }) => `${start}-${end}`)

/** The same, answered by the whole model alone. */
async function alone(file: string, requests: readonly GenerateRequest[], stages = 3): Promise<number[][]> {
  await using whole = await wholeModel(file)
  const answers: number[][] = []
  for (const request of requests) answers.push(await whole.answer(request, stages))
  return answers
}

describe('three nodes with pinned layers', () => {
  const ARCHITECTURES = ['llama', 'qwen2', 'qwen3', 'qwen3moe'] as const
  let folder: TemporaryFolder
  let mesh: Mesh

  beforeAll(async () => {
    folder = await temporaryFolder()
    const tiny = ARCHITECTURES.map(async architecture => {
      const { file } = await writeTinyModel(folder.file(`${architecture}.gguf`), { architecture })
      return { file, name: architecture }
    })
    mesh = await startMesh({
      nodes: [{ layers: '0-3' }, { layers: '3-6' }, { layers: '6-8' }],
      models: [{ file: EMBER, name: 'ember' }, ...(await Promise.all(tiny))]
    })
  })

  afterAll(async () => {
    await mesh?.[Symbol.asyncDispose]()
    await folder?.remove()
  })

  it('answer ember token for token as the whole model alone, whoever is asked', async () => {
    const prompts = ['What is the capital of France?', 'Can you explain how Flambeau works?', 'Who are you?']
    const requests = prompts.map((prompt): GenerateRequest => ({
      model: 'ember',
      prompt,
      sampling: GREEDY,
      dtype: 'f32'
    }))
    const expected = await alone(EMBER, requests)
    for (const [i, request] of requests.entries()) {
      const answer = await mesh.ask(i, request)
      expect(ranges(answer)).toEqual(['0-3', '3-6', '6-8'])
      expect(answer.tokens).toEqual(expected[i])
    }
  })
})
