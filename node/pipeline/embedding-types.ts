import type { GenerateEvent, GenerateRequest } from '../control/contract.js'

/** What is to become vectors: a text, or token ids as they are. */
export type EmbedInput = string | readonly number[]

export interface EmbedRequest extends Pick<GenerateRequest, 'model' | 'dtype' | 'replay' | 'wait'> {
  /** At least one. */
  input: readonly EmbedInput[]
  /** So many of the first elements; all by default. */
  dimensions?: number
}

/** A `route` may come again: what is asked begins anew then, and its tokens are the same ones. */
export type EmbedEvent =
  | Extract<GenerateEvent, { event: 'route' | 'reroute' | 'waiting' }>
  /** The last event: of each input, in their order, the direction of its embedding; length 1. */
  | { event: 'vectors'; vectors: Float32Array[] }

/** Who makes vectors of texts. */
export interface EmbeddingService {
  /** Aborting `signal`, or leaving the loop, frees the session on every stage. */
  embed(request: EmbedRequest, options?: { signal?: AbortSignal }): AsyncIterable<EmbedEvent>
}
