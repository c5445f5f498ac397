import { expect, it } from 'vitest'
import { ask } from '../../cli/answer.js'
import { memoryFor } from '../../cli/demo/reference.js'
import type { GenerateRequest } from '../../node/control/contract.js'
import { type Mesh, startMesh } from '../support/mesh.js'
import { temporaryFolder } from '../support/temporary.js'
import { writeTinyModel } from '../support/tiny-model.js'
import { waitFor } from '../support/wait-for.js'

const CONTEXT = 2_048
/** The node that asks has the file; the second half is served by two others. */
const LAYERS = ['0-1', '1-2', '1-2']
const SECOND_HALF = [1, 2]
/** Milliseconds in which a node serves. */
const SERVE_LIMIT = 60_000
/** Seconds until another node has noticed that they are gone, claimed their layers, fetched and loaded them, give or take. */
const WAIT_SECONDS = 110

it('a node that others can spare takes layers whose last holders are gone, and an answer that waits goes on', async () => {
  await using folder = await temporaryFolder()
  const options = { architecture: 'llama', layers: 2, context: CONTEXT } as const
  const { file } = await writeTinyModel(folder.file('two.gguf'), options)
  await using mesh = await startMesh({
    nodes: LAYERS.map(layers => ({ layers })),
    models: [{ file, name: 'two' }],
    context: CONTEXT
  })
  const halves = [0, 1].map(start => ({ start, end: start + 1 }))
  for (const node of SECOND_HALF) await waitFor(async () => (await shardOf(mesh, node)) === '1-2', serving)
  const memory = Math.max(...(await memoryFor(file, halves, CONTEXT)))
  await mesh.add({ memory })
  const free = LAYERS.length
  // It helps the layer most that has only one holder.
  await waitFor(async () => (await shardOf(mesh, free)) === '0-1', serving)
  const request: GenerateRequest = {
    ...{ model: 'two', prompt: 'the', raw: true, dtype: 'f32', wait: WAIT_SECONDS, replay: 'exact' },
    sampling: { temperature: 0, maxTokens: 600 }
  }
  const expected = await mesh.ask(0, request)

  const waited: string[] = []
  const answer = await ask(mesh.node(0).service, request, {
    signal: new AbortController().signal,
    onText: () => SECOND_HALF.forEach(node => mesh.node(node).process.kill('SIGKILL')),
    onWaiting: why => void waited.push(why)
  })
  expect(answer.tokens).toEqual(expected.tokens)
  expect(answer.route.map(({ name }) => name)).toEqual(['node-0', 'node-3'])
  expect(waited).not.toEqual([])
  expect(await shardOf(mesh, free)).toBe('1-2')
}, 240_000)

const serving = { what: 'a node to serve its half', limit: SERVE_LIMIT }

/** The layers that a node serves. */
async function shardOf(mesh: Mesh, node: number): Promise<string | undefined> {
  const [shard] = (await mesh.node(node).service.status()).shards
  return shard && `${shard.start}-${shard.end}`
}
