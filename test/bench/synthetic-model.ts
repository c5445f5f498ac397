import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { ggufBytes } from '../support/gguf-writer.js'
import { PROJECT_ROOT } from '../support/models.js'
import { byteTokenizer } from '../support/tiny-model.js'

/** Writes models of real sizes with random weights; beside the project. */
const TOOL = join(PROJECT_ROOT, '..', 'shared', 'tools', 'synthetic-model', 'make.mjs')

/** Tokens of every shape. */
const VOCABULARY = 32_000

/**
 * A file of the shape (`0.5b`, `1b`, `3b`, `8b`), written once and kept in the system's folder for temporary files. Each of
 * its tokens has a text.
 */
export async function syntheticModel(shape: string): Promise<string> {
  const folder = join(tmpdir(), 'flambeau-bench')
  const file = join(folder, `${shape}-words.gguf`)
  if (existsSync(file)) return file
  if (!existsSync(TOOL)) throw new Error(`the synthetic model tool is not at ${TOOL}; give a file with --model instead`)
  await mkdir(folder, { recursive: true })
  const tokenizer = join(folder, 'words.gguf')
  await writeFile(tokenizer, ggufBytes(new Map(byteTokenizer(VOCABULARY)), []))
  await promisify(execFile)(process.execPath, [TOOL, shape, file, tokenizer])
  return file
}
