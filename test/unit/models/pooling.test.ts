import { expect, test } from 'vitest'
import { parseGguf } from '../../../node/models/gguf.js'
import type { GgufMetadata } from '../../../node/models/gguf-metadata.js'
import { whyNoEmbeddings } from '../../../node/models/pooling.js'
import { ggufBytes, type GgufValue } from '../../support/gguf-writer.js'

function metadata(entries: Record<string, GgufValue>): GgufMetadata {
  const architecture: GgufValue = { type: 'string', value: 'qwen3' }
  const bytes = ggufBytes(new Map([['general.architecture', architecture], ...Object.entries(entries)]), [])
  return parseGguf(bytes, bytes.length).metadata
}

const pooling = (value: number): Record<string, GgufValue> => ({ 'qwen3.pooling_type': { type: 'u32', value } })
const causal = (value: boolean): Record<string, GgufValue> => ({ 'qwen3.attention.causal': { type: 'bool', value } })

test('a model that pools by the last token is made for embeddings', () => {
  expect(whyNoEmbeddings(metadata(pooling(3)))).toBeUndefined()
  expect(whyNoEmbeddings(metadata({ ...pooling(3), ...causal(true) }))).toBeUndefined()
})

test.each([
  ['names no pooling', {}, 'names no pooling'],
  ['is of another architecture', { 'llama.pooling_type': { type: 'u32', value: 3 } as const }, 'names no pooling'],
  ['does not pool', pooling(0), 'names no pooling'],
  ['takes the mean', pooling(1), 'pools by mean'],
  ['takes the first token', pooling(2), 'pools by cls'],
  ['ranks', pooling(4), 'pools by rank'],
  ['does something new', pooling(9), 'pools by type 9'],
  ['attends to what comes later', { ...pooling(3), ...causal(false) }, 'attend to later ones']
])('one that %s is not', (_what, entries, why) => {
  expect(whyNoEmbeddings(metadata(entries))).toContain(why)
})
