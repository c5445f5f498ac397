import { readFile, writeFile } from 'node:fs/promises'
import type { GgufEntry } from '../../node/models/gguf-metadata.js'
import { GgufType } from '../../node/models/gguf-types.js'
import { layOutGguf, numberEntry } from '../../node/models/gguf-writer.js'
import { readGguf } from '../../node/models/gguf.js'
import { EMBER } from './models.js'

/** `enum llama_pooling_type` */
export const POOLING = { mean: 1, last: 3 } as const

/** Copies the demo model with a header that says how it pools; it wants an end of text after each text. */
export async function writeEmbeddingModel(file: string, pooling: keyof typeof POOLING = 'last'): Promise<void> {
  await copyWith(EMBER, file, {
    'llama.pooling_type': numberEntry(GgufType.uint32, POOLING[pooling]),
    'tokenizer.ggml.add_eos_token': numberEntry(GgufType.bool, 1)
  })
}

async function copyWith(from: string, to: string, changes: Record<string, GgufEntry>): Promise<void> {
  const { metadata, tensors, alignment, dataStart } = await readGguf(from)
  const { header, offsets, fileBytes } = layOutGguf(
    new Map([...metadata.entries, ...Object.entries(changes)]),
    tensors,
    alignment
  )
  const source = await readFile(from)
  const copy = Buffer.alloc(fileBytes)
  copy.set(header)
  for (const [i, { offset, size }] of tensors.entries()) {
    copy.set(source.subarray(dataStart + offset, dataStart + offset + size), offsets[i])
  }
  await writeFile(to, copy)
}
