import type { RouteStageView } from '../../control/contract.js'
import type { EmbedInput } from '../../pipeline/embedding-types.js'
import type { Answering } from '../answering.js'
import { carriedBy } from './answers.js'
import type { EmbeddingRequest } from './embedding-schema.js'

/** A list of embeddings in OpenAI's form, and who computed them. @throws what the request fails with */
export async function embeddings(
  service: Pick<Answering, 'embed'>,
  request: EmbeddingRequest,
  signal: AbortSignal
): Promise<object> {
  const { model, dimensions, encoding_format: format = 'float' } = request
  let route: RouteStageView[] = []
  let promptTokens = 0
  let vectors: readonly Float32Array[] = []
  const asked = {
    model,
    input: inputsOf(request),
    ...(dimensions !== undefined && { dimensions }),
    ...carriedBy(request)
  }
  for await (const event of service.embed(asked, { signal })) {
    if (event.event === 'route') ({ stages: route, promptTokens } = event)
    if (event.event === 'vectors') ({ vectors } = event)
  }
  const encode = format === 'base64' ? base64 : numbers
  return {
    object: 'list',
    data: vectors.map((vector, index) => ({ object: 'embedding', index, embedding: encode(vector) })),
    model,
    usage: { prompt_tokens: promptTokens, total_tokens: promptTokens },
    flambeau: { route }
  }
}

/** One text, or one list of token ids, is a list of one. */
function inputsOf({ input }: EmbeddingRequest): EmbedInput[] {
  if (typeof input === 'string') return [input]
  return isTokens(input) ? [input] : input
}

function isTokens(input: Exclude<EmbeddingRequest['input'], string>): input is number[] {
  return typeof input[0] === 'number'
}

function numbers(vector: Float32Array): number[] {
  return Array.from(vector)
}

/** Of the float32 values, little endian. */
function base64({ buffer, byteOffset, byteLength }: Float32Array): string {
  return Buffer.from(buffer, byteOffset, byteLength).toString('base64')
}
