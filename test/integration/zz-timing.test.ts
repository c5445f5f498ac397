import { expect, it } from 'vitest'
import { startMesh } from '../support/mesh.js'
import { temporaryFolder } from '../support/temporary.js'
import { writeTinyModel } from '../support/tiny-model.js'

it.each(Array.from({ length: 12 }, (_, i) => i))('start %s', async () => {
  await using folder = await temporaryFolder()
  const { file } = await writeTinyModel(folder.file('babble.gguf'), { architecture: 'llama', context: 65536 })
  const t = performance.now()
  await using mesh = await startMesh({
    nodes: ['0-3', '3-6', '6-8'].map(layers => ({ layers, args: ['--log-level', 'debug'] })),
    models: [{ file, name: 'babble' }],
    context: 65536
  })
  console.log('took', performance.now() - t)
  if (performance.now() - t > 20000) for (const { process } of mesh.nodes) console.log(process.output().stderr)
  expect(1).toBe(1)
})
