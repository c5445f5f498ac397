/** Whether a model is made for embeddings, by its header. */
import type { GgufMetadata } from './gguf-metadata.js'

/** `enum llama_pooling_type`: what becomes of the hidden states of a text, by number. */
const POOLING = ['none', 'mean', 'cls', 'last', 'rank'] as const

/**
 * Why no embeddings can be made with a model, to stand after its name; undefined where they can: it takes the hidden state
 * of the last token, and no token attends to later ones, so that a text may come in parts.
 * @throws ModelError BAD_METADATA
 */
export function whyNoEmbeddings(metadata: GgufMetadata): string | undefined {
  const architecture = metadata.string('general.architecture') ?? ''
  const number = metadata.count(`${architecture}.pooling_type`)
  const pooling = number === undefined ? 'none' : (POOLING[number] ?? `type ${number}`)
  if (pooling === 'none') return 'is not made for embeddings: its file names no pooling'
  if (pooling !== 'last') return `pools by ${pooling}, which is not supported`
  if (metadata.value(`${architecture}.attention.causal`) === false) {
    return 'has tokens attend to later ones, which is not supported'
  }
  return undefined
}
