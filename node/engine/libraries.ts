import { existsSync, readdirSync } from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'
import type { Backend } from './types.js'

/** The llama.cpp libraries of one prebuilt package of node-llama-cpp. */
export interface Libraries {
  backend: Backend
  /** Holds the libraries and the ggml backends. */
  folder: string
  /** More ggml backends, built for machines that lack the newest drivers; undefined where there are none. */
  fallbackFolder: string | undefined
  base: string
  ggml: string
  llama: string
}

interface Machine {
  platform: NodeJS.Platform
  arch: string
}

const PLATFORM_NAMES: Partial<Record<NodeJS.Platform, string>> = { linux: 'linux', darwin: 'mac', win32: 'win' }
const SUFFIXES: Partial<Record<NodeJS.Platform, string>> = { darwin: '.dylib', win32: '.dll' }
const ARCH_NAMES: Record<string, string> = { arm: 'armv7l' }

/** The package (less its scope) that has the libraries for `backend`, named as node-llama-cpp names them. */
export function packageFor(backend: Backend, { platform, arch }: Machine = process): string | undefined {
  const system = PLATFORM_NAMES[platform]
  if (system === undefined) return undefined
  const name = `${system}-${ARCH_NAMES[arch] ?? arch}`
  // On Apple's own processors there is one package: its libraries run on the CPU as well.
  if (name === 'mac-arm64') return backend === 'metal' || backend === 'cpu' ? 'mac-arm64-metal' : undefined
  if (backend === 'metal') return undefined
  return backend === 'cpu' ? name : `${name}-${backend}`
}

/**
 * The file of library `name` among `files`: `libllama.so`, `libllama.cuda.v0.5.0.so`, `libllama.dylib`, `llama.dll`.
 * The dot after the name keeps `libggml-base` and the backends from passing for `libggml`.
 */
export function libraryFile(
  name: string,
  files: string[],
  platform: NodeJS.Platform = process.platform
): string | undefined {
  const prefix = platform === 'win32' ? name : `lib${name}`
  const suffix = SUFFIXES[platform] ?? '.so'
  return files.find(file => file.startsWith(`${prefix}.`) && file.endsWith(suffix))
}

/** The installed libraries for `backend`; undefined where the package is not installed or not complete. */
export function findLibraries(backend: Backend): Libraries | undefined {
  const name = packageFor(backend)
  const folder = name === undefined ? undefined : binsFolder(name, name)
  if (name === undefined || folder === undefined) return undefined
  const files = readdirSync(folder)
  const [base, ggml, llama] = ['ggml-base', 'ggml', 'llama'].map(library => libraryFile(library, files))
  if (base === undefined || ggml === undefined || llama === undefined) return undefined
  const at = (file: string): string => path.join(folder, file)
  return {
    backend,
    folder,
    fallbackFolder: fallbackFolder(name, folder),
    base: at(base),
    ggml: at(ggml),
    llama: at(llama)
  }
}

function binsFolder(packageName: string, folder: string): string | undefined {
  try {
    const entry = createRequire(import.meta.url).resolve(`@node-llama-cpp/${packageName}`)
    const bins = path.join(path.dirname(entry), '..', 'bins', folder)
    return existsSync(bins) ? bins : undefined
  } catch {
    return undefined // not installed: npm installs only what fits the machine
  }
}

function fallbackFolder(name: string, folder: string): string | undefined {
  const parent = binsFolder(`${name}-ext`, name) ?? folder
  const fallback = path.join(parent, 'fallback')
  return existsSync(fallback) ? fallback : undefined
}

/**
 * Backends to try, in order. For `auto` node-llama-cpp looks for drivers; it takes half a second to import, so it is
 * loaded only here, and only by the engine's process.
 */
export async function backendsToTry(wanted: Backend | 'auto'): Promise<Backend[]> {
  if (wanted !== 'auto') return [wanted]
  const { getLlamaGpuTypes } = await import('node-llama-cpp')
  const supported = (await getLlamaGpuTypes('supported')).map((type): Backend => (type === false ? 'cpu' : type))
  return supported.includes('cpu') ? supported : [...supported, 'cpu']
}
