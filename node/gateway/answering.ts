import type { GenerateEvent, GenerateRequest, ModelView } from '../control/contract.js'
import type { GenerateOptions } from '../control/service.js'

/** What the gateway's endpoints ask, on behalf of a caller. */
export interface Answering {
  models(): Promise<ModelView[]>
  generate(request: GenerateRequest, options?: GenerateOptions): AsyncGenerator<GenerateEvent>
}
