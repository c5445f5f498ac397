import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { GenerateRequest } from '../../node/control/contract.js'
import type { EngineProcess } from '../../node/engine/engine.js'
import { openTokenizer } from '../../node/engine/tokenizer.js'
import type { Tokenizer } from '../../node/engine/types.js'
import { WholeModel } from '../../node/pipeline/whole-model.js'
import { startEngine } from './engine.js'
import { PROJECT_ROOT } from './models.js'

const TOKENIZER_CHILD = pathToFileURL(join(PROJECT_ROOT, 'dist', 'node', 'engine', 'tokenizer-child.js'))

export interface WholeModelAlone extends AsyncDisposable {
  /** Token ids of the answer, with the step shapes of a route of `stages` stages. */
  answer(request: GenerateRequest, stages: number): Promise<number[]>
}

/** An engine of its own, started, and the tokenizer of a GGUF file. */
export interface EngineAndTokenizer extends AsyncDisposable {
  engine: EngineProcess
  tokenizer: Tokenizer
}

export async function engineAndTokenizer(file: string): Promise<EngineAndTokenizer> {
  const ignore = (): void => undefined
  const logger = { debug: ignore, info: ignore, warn: ignore, error: ignore }
  const engine = await startEngine()
  const tokenizer = await openTokenizer({ childModule: TOKENIZER_CHILD, logger }, { headerFile: file })
  return {
    engine,
    tokenizer,
    async [Symbol.asyncDispose]() {
      await tokenizer.close()
      await engine.stop()
    }
  }
}

/** The model of a GGUF file, whole and alone in an engine of its own: what answers of a mesh are compared with. */
export async function wholeModel(file: string): Promise<WholeModelAlone> {
  const parts = await engineAndTokenizer(file)
  const whole = await WholeModel.load(parts, file)
  return {
    answer: async (request, stages) => await whole.answer(request, { stages }),
    [Symbol.asyncDispose]: async () => parts[Symbol.asyncDispose]()
  }
}
