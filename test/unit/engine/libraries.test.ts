import { existsSync } from 'node:fs'
import { expect, test } from 'vitest'
import { backendsToTry, findLibraries, libraryFile, packageFor } from '../../../node/engine/libraries.js'
import type { Backend } from '../../../node/engine/types.js'

const packages: [Backend, NodeJS.Platform, string, string | undefined][] = [
  ['cpu', 'linux', 'x64', 'linux-x64'],
  ['cuda', 'linux', 'x64', 'linux-x64-cuda'],
  ['vulkan', 'linux', 'x64', 'linux-x64-vulkan'],
  ['cpu', 'linux', 'arm', 'linux-armv7l'],
  ['metal', 'linux', 'x64', undefined],
  ['metal', 'darwin', 'arm64', 'mac-arm64-metal'],
  ['cpu', 'darwin', 'arm64', 'mac-arm64-metal'],
  ['cuda', 'darwin', 'arm64', undefined],
  ['cpu', 'darwin', 'x64', 'mac-x64'],
  ['cuda', 'win32', 'x64', 'win-x64-cuda'],
  ['cpu', 'win32', 'arm64', 'win-arm64'],
  ['cpu', 'freebsd', 'x64', undefined]
]

test.each(packages)('%s on %s %s comes from %s', (backend, platform, arch, name) => {
  expect(packageFor(backend, { platform, arch })).toBe(name)
})

test('a library is found by name, whatever version or variant its file name carries', () => {
  const linux = ['libggml-base.so', 'libggml-cpu-x64.so', 'libggml.cuda.v0.5.0.so', 'libllama-common.so', 'libllama.so']
  expect(libraryFile('ggml-base', linux, 'linux')).toBe('libggml-base.so')
  expect(libraryFile('ggml', linux, 'linux')).toBe('libggml.cuda.v0.5.0.so')
  expect(libraryFile('llama', linux, 'linux')).toBe('libllama.so')
  expect(libraryFile('llama', ['libllama.dylib'], 'darwin')).toBe('libllama.dylib')
  expect(libraryFile('ggml', ['ggml-base.dll', 'ggml.dll', 'ggml.lib'], 'win32')).toBe('ggml.dll')
  expect(libraryFile('ggml', linux, 'darwin')).toBeUndefined()
})

test('the installed CPU libraries are complete', () => {
  const libraries = findLibraries('cpu')
  for (const file of [libraries?.base, libraries?.ggml, libraries?.llama]) expect(existsSync(file ?? '')).toBe(true)
})

test('a chosen backend is the only one tried, automatic choice ends with the CPU', async () => {
  expect(await backendsToTry('vulkan')).toEqual(['vulkan'])
  expect((await backendsToTry('auto')).at(-1)).toBe('cpu')
})
