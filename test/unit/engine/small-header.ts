import { writeFile } from 'node:fs/promises'
import { ggufBytes } from '../../support/gguf-writer.js'

export type Header = Parameters<typeof ggufBytes>[0]

/** A GGUF file with a small vocabulary, no tensors, this chat template and what else is to be different. */
export async function writeSmallHeader(file: string, template?: string, change: Header = new Map()): Promise<string> {
  const letters = Array.from('abcdefghijklmnopqrstuvwxyz')
  const metadata: Header = new Map([
    ['general.architecture', { type: 'string', value: 'llama' }],
    ['llama.block_count', { type: 'u32', value: 1 }],
    ['llama.context_length', { type: 'u32', value: 64 }],
    ['llama.embedding_length', { type: 'u32', value: 64 }],
    ['llama.feed_forward_length', { type: 'u32', value: 64 }],
    ['llama.attention.head_count', { type: 'u32', value: 1 }],
    ['llama.attention.layer_norm_rms_epsilon', { type: 'f32', value: 1e-5 }],
    ['tokenizer.ggml.model', { type: 'string', value: 'gpt2' }],
    ['tokenizer.ggml.pre', { type: 'string', value: 'gpt-2' }],
    ['tokenizer.ggml.tokens', { type: 'strings', value: ['<|end|>', ...letters, 'ab'] }],
    ['tokenizer.ggml.token_type', { type: 'i32s', value: [3, ...letters.map(() => 1), 1] }],
    ['tokenizer.ggml.merges', { type: 'strings', value: ['a b'] }],
    ['tokenizer.ggml.eos_token_id', { type: 'u32', value: 0 }],
    ...(template === undefined ? [] : [['tokenizer.chat_template', { type: 'string', value: template }] as const]),
    ...change
  ])
  await writeFile(file, ggufBytes(metadata, []))
  return file
}
