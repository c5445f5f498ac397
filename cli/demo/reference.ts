/** The whole model run alone in this process's own engine: what the demo compares the mesh with. */
import type { GenerateRequest } from '../../node/control/contract.js'
import { EngineProcess } from '../../node/engine/engine.js'
import { openTokenizer } from '../../node/engine/tokenizer.js'
import { footprint } from '../../node/holding/footprint.js'
import { bytesOfRange } from '../../node/scheduler/fit.js'
import { createLogger } from '../../node/logger.js'
import { readGguf } from '../../node/models/gguf.js'
import { buildManifest } from '../../node/models/manifest.js'
import type { LayerRange } from '../../node/models/types.js'
import { WholeModel } from '../../node/pipeline/whole-model.js'

const ENGINE_CHILD = new URL('../../node/engine/child.js', import.meta.url)
const TOKENIZER_CHILD = new URL('../../node/engine/tokenizer-child.js', import.meta.url)

export interface Reference extends AsyncDisposable {
  /** Token ids; `stages` of the route that is compared. */
  answer(request: GenerateRequest, stages: number): Promise<number[]>
}

export async function openReference(file: string): Promise<Reference> {
  const logger = createLogger({ level: 'warn' })
  const engine = new EngineProcess({ childModule: ENGINE_CHILD, logger }, { backend: 'cpu', threads: 1, gpuLayers: 0 })
  const tokenizer = await openTokenizer({ childModule: TOKENIZER_CHILD, logger }, { headerFile: file })
  const close = async (): Promise<void> => {
    await tokenizer.close()
    await engine.stop()
  }
  try {
    await engine.start()
    const whole = await WholeModel.load({ engine, tokenizer }, file)
    return { answer: async (request, stages) => whole.answer(request, { stages }), [Symbol.asyncDispose]: close }
  } catch (error) {
    await close()
    throw error
  }
}

/** Bytes that a node needs to have room for each of these ranges, and no more. */
export async function memoryFor(file: string, ranges: readonly LayerRange[], context: number): Promise<number[]> {
  const gguf = await readGguf(file)
  const manifest = await buildManifest({ file, gguf }, { cuts: [] })
  const size = footprint(manifest, gguf.metadata, context)
  return ranges.map(range => bytesOfRange(size, range))
}
