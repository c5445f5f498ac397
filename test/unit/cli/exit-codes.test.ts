import { readdirSync, readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { EXIT, EXIT_BY_ERROR, EXIT_MEANINGS, exitCodeOf } from '../../../cli/exit-codes.js'

const root = new URL('../../../', import.meta.url)

/** Every code that the sources hand to an error of their own. */
function codesInSources(): string[] {
  const files = ['node', 'protocol', 'cli'].flatMap(folder =>
    readdirSync(new URL(folder, root), { recursive: true, withFileTypes: true })
      .filter(entry => entry.isFile() && entry.name.endsWith('.ts') && !entry.parentPath.includes('generated'))
      .map(entry => readFileSync(`${entry.parentPath}/${entry.name}`, 'utf8'))
  )
  const thrown = files.flatMap(text =>
    [...text.matchAll(/new \w+Error\(\s*'([A-Z][A-Z_0-9]+)'/g)].map(match => match[1] ?? '')
  )
  return [...new Set(thrown)].sort()
}

describe('exit codes', () => {
  it('explain every number once, in order', () => {
    const numbers = EXIT_MEANINGS.map(([code]) => code)
    expect(numbers).toEqual([...new Set(Object.values(EXIT))].sort((a, b) => a - b))
  })

  it('exist for every code that the sources throw', () => {
    const codes = codesInSources()
    expect(codes.length).toBeGreaterThan(40)
    expect(codes.filter(code => !Object.hasOwn(EXIT_BY_ERROR, code))).toEqual([])
  })

  it.each([
    ['UNKNOWN_MODEL', 4],
    ['INCOMPLETE_MODEL', 5],
    ['NOT_GGUF', 6],
    ['PORT_TAKEN', 7],
    ['STAGE_LOST', 8],
    ['ENGINE_LOST', 8],
    ['CONTEXT_EXCEEDED', 9],
    ['ALREADY_RUNNING', 3],
    ['NO_SWARM', 3],
    ['CANCELLED', 130],
    ['SOMETHING_NEWER', 1],
    ['constructor', 1]
  ])('%s ends with %i', (code, exit) => expect(exitCodeOf(code)).toBe(exit))
})
