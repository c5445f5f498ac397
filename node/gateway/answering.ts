import type { GenerateEvent, GenerateRequest, ModelView } from '../control/contract.js'
import type { GenerateOptions } from '../control/service.js'
import type { EmbedEvent, EmbedRequest } from '../pipeline/embedding-types.js'

/** What the gateway's endpoints ask, on behalf of a caller. */
export interface Answering {
  models(): Promise<ModelView[]>
  generate(request: GenerateRequest, options?: GenerateOptions): AsyncGenerator<GenerateEvent>
  embed(request: EmbedRequest, options?: { signal?: AbortSignal }): AsyncGenerator<EmbedEvent>
}
