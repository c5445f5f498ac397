import type { GenerateRequest } from '../../node/control/contract.js'
import { type Mesh, startMesh } from './mesh.js'
import { temporaryFolder } from './temporary.js'
import { writeTinyModel } from './tiny-model.js'

/** Positions of the model, and of all sessions of a node. */
const CONTEXT = 65_536
/** Tokens of an answer that is still under way when it has to be. */
export const LONG = 16_000

export interface BabbleMesh extends AsyncDisposable {
  mesh: Mesh
}

/** Real nodes with these layers of a tiny random model of eight, which says nothing, and that for long. */
export async function startBabble(layers: readonly string[]): Promise<BabbleMesh> {
  const folder = await temporaryFolder()
  try {
    const { file } = await writeTinyModel(folder.file('babble.gguf'), { architecture: 'llama', context: CONTEXT })
    const models = [{ file, name: 'babble' }]
    const mesh = await startMesh({ nodes: layers.map(range => ({ layers: range })), models, context: CONTEXT })
    const dispose = async (): Promise<void> => {
      await mesh[Symbol.asyncDispose]()
      await folder.remove()
    }
    return { mesh, [Symbol.asyncDispose]: dispose }
  } catch (error) {
    await folder.remove()
    throw error
  }
}

/** Greedy, in f32. */
export function babble(maxTokens: number): GenerateRequest {
  return { model: 'babble', prompt: 'the', raw: true, sampling: { temperature: 0, maxTokens }, dtype: 'f32' }
}
