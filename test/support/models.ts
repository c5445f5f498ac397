import { existsSync, readdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The project's root, from this source file as well as from its compiled copy in `dist/`. */
export const PROJECT_ROOT = findRoot(dirname(fileURLToPath(import.meta.url)))

/** The bundled demo model: 8 layers, width 192, with a tokenizer and a chat template. */
export const EMBER = join(PROJECT_ROOT, 'models', 'ember', 'ember-3m-q8_0.gguf')

const SHARED_MODELS = join(PROJECT_ROOT, '..', 'shared', 'models')

/** A trained model of 1.2 MB (5 layers), beside the project; undefined where it is absent. */
export function stories260k(): string | undefined {
  const file = join(SHARED_MODELS, 'stories260k', 'stories260K.gguf')
  return existsSync(file) ? file : undefined
}

/** Random models of several architectures beside the project, by file name less `.gguf`; empty where the folder is absent. */
export function architectureModels(): Map<string, string> {
  const folder = join(SHARED_MODELS, 'architectures')
  if (!existsSync(folder)) return new Map()
  const names = readdirSync(folder).filter(name => name.endsWith('.gguf'))
  return new Map(names.sort().map(name => [name.slice(0, -'.gguf'.length), join(folder, name)]))
}

function findRoot(from: string): string {
  if (existsSync(join(from, 'package.json'))) return from
  const parent = dirname(from)
  if (parent === from) throw new Error(`no package.json above ${import.meta.url}`)
  return findRoot(parent)
}
