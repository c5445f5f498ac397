import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { PROJECT_ROOT } from '../../support/models.js'
import { allOptions, commandTree, mistakeIn, shellWords } from './command-line.js'
import { codeLines, codeSpans, pages } from './markdown.js'

const program = await commandTree()

/** `flambeau ...` at the beginning of a line, perhaps as another user or by npx. */
const COMMAND_LINE = /^(?:npx |sudo -u \S+ FLAMBEAU_HOME=\S+ )?flambeau (.+)$/

/** Options of npm, node and llama.cpp's own programs. */
const FOREIGN_OPTIONS = ['--ignore-scripts', '--omit=optional', '--merge', '--help', '--system']

const copied = pages().flatMap(page =>
  codeLines(page).flatMap(({ language, text }) => {
    const line = language === 'sh' ? COMMAND_LINE.exec(text)?.[1] : undefined
    return line === undefined ? [] : [{ page: page.path, line }]
  })
)
const mentioned = pages().flatMap(page =>
  codeSpans(page).flatMap(span => {
    const line = /^(?:npx )?flambeau (.+)$/.exec(span)?.[1]
    return line === undefined ? [] : [{ page: page.path, line }]
  })
)

describe('commands in the documentation', () => {
  it('are found at all', () => {
    expect(copied.length).toBeGreaterThan(8)
    expect(mentioned.length).toBeGreaterThan(20)
  })

  it.each(copied)('$page: flambeau $line is a complete command', ({ line }) => {
    expect(mistakeIn(program, shellWords(line), { complete: true })).toBeUndefined()
  })

  it.each(mentioned)('$page: flambeau $line exists', ({ line }) => {
    expect(mistakeIn(program, shellWords(line), { complete: false })).toBeUndefined()
  })

  it('use only options that some command has', () => {
    const known = new Set([...allOptions(program), ...FOREIGN_OPTIONS])
    const options = pages().flatMap(page => codeSpans(page).flatMap(span => /^--[a-z][a-z-=]*/.exec(span)?.[0] ?? []))
    expect(options.length).toBeGreaterThan(10)
    expect(options.filter(option => !known.has(option))).toEqual([])
  })

  it('run only npm scripts that package.json has', () => {
    const { scripts } = JSON.parse(readFileSync(join(PROJECT_ROOT, 'package.json'), 'utf8')) as { scripts: object }
    const names = pages().flatMap(({ text }) => [...text.matchAll(/npm run ([\w:-]+)/g)].map(([, name = '']) => name))
    expect(names).toContain('demo')
    expect(names.filter(name => !Object.hasOwn(scripts, name))).toEqual([])
  })

  it.each([
    ['fly'],
    ['run ember hello --colour red'],
    ['swarm create'],
    ['shard check model.gguf --cuts 5,2'],
    ['run ember hello --dtype f8'],
    ['down now'],
    ['help flying']
  ])('would be caught when wrong: flambeau %s', line => {
    expect(mistakeIn(program, shellWords(line), { complete: true })).toBeDefined()
  })
})
