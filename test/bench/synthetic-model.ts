import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { PROJECT_ROOT } from '../support/models.js'

/** Writes models of real sizes with random weights; beside the project. */
const TOOL = join(PROJECT_ROOT, '..', 'shared', 'tools', 'synthetic-model', 'make.mjs')

/** A file of the shape (`0.5b`, `1b`, `3b`, `8b`), written once and kept in the system's folder for temporary files. */
export async function syntheticModel(shape: string): Promise<string> {
  const folder = join(tmpdir(), 'flambeau-bench')
  const file = join(folder, `${shape}.gguf`)
  if (existsSync(file)) return file
  if (!existsSync(TOOL)) throw new Error(`the synthetic model tool is not at ${TOOL}; give a file with --model instead`)
  await mkdir(folder, { recursive: true })
  await promisify(execFile)(process.execPath, [TOOL, shape, file])
  return file
}
