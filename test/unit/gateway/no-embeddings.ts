import type { EmbedEvent } from '../../../node/pipeline/embedding-types.js'

/** Of a service that is not asked for embeddings. */
export function embed(): AsyncGenerator<EmbedEvent> {
  throw new Error('nobody should ask for embeddings here')
}
