import { execFile, spawnSync } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { bashScript } from '../../../cli/completions/bash.js'
import { fishScript } from '../../../cli/completions/fish.js'
import { treeOf, withInner, type CommandNode } from '../../../cli/completions/tree.js'
import { zshScript } from '../../../cli/completions/zsh.js'
import { COMMANDS, programOf } from '../../../cli/program.js'
import { SETTINGS } from '../../../node/config-schema.js'
import { temporaryFolder, type TemporaryFolder } from '../../support/temporary.js'
import { fakeContext } from './screen.js'

const tree = treeOf(await programOf(fakeContext().context, () => true))
const nodes = withInner(tree)

function nodeAt(path: string): CommandNode {
  const node = nodes.find(candidate => candidate.path === path)
  if (node === undefined) throw new Error(`there is no ${path}`)
  return node
}

describe('the tree of commands', () => {
  it('has every command, and help', () => {
    const names = tree.commands.map(({ path }) => path)
    expect(names).toEqual([...COMMANDS.map(({ name }) => `flambeau ${name}`), 'flambeau help'])
    expect(nodeAt('flambeau swarm').commands.map(({ path }) => path)).toContain('flambeau swarm create')
  })

  it('knows what options and arguments may be', () => {
    const option = (path: string, name: string) => nodeAt(path).options.find(candidate => candidate.name === name)
    expect(option('flambeau run', '--dtype')).toMatchObject({ takesValue: true, choices: ['f32', 'f16'] })
    expect(option('flambeau up', '--log-level')?.choices).toEqual(SETTINGS['log.level'].schema.options)
    expect(option('flambeau up', '--port')).toMatchObject({ takesValue: true, choices: [] })
    expect(option('flambeau up', '--no-mdns')).toMatchObject({ takesValue: false })
    expect(nodeAt('flambeau completions').choices).toEqual(['bash', 'zsh', 'fish'])
    expect(nodeAt('flambeau help').choices).toContain('exit-codes')
    expect(nodeAt('flambeau share').takesFile).toBe(true)
  })
})

describe('every script', () => {
  const scripts = { bash: bashScript(tree), zsh: zshScript(tree), fish: fishScript(tree) }

  it.each(Object.entries(scripts))('of %s names every command and option', (shell, script) => {
    for (const { path, options } of nodes) {
      expect(script).toContain(path)
      for (const { name } of options) expect(script).toContain(shell === 'fish' ? `'${name.slice(2)}'` : name)
    }
  })

  const quotes: CommandNode = {
    ...tree,
    commands: [{ ...nodeAt('flambeau down'), about: `it's 100\\% "done": $HOME` }]
  }

  it('keeps quotes, backslashes and colons of a description', () => {
    expect(zshScript(quotes)).toContain(`'down:it'\\''s 100\\% "done": $HOME'`)
    expect(fishScript(quotes)).toContain(`-a 'down' -d 'it\\'s 100\\\\% "done": $HOME'`)
  })

  // bash is everywhere; the others are checked where they are, and the tests above see their text in any case.
  const installed = Object.entries(scripts).filter(([shell]) => spawnSync(shell, ['-c', 'true']).status === 0)

  it.each(installed)('is understood by the %s that is installed', async (shell, script) => {
    await using folder = await temporaryFolder()
    await writeFile(folder.file('script'), script)
    expect(await promisify(execFile)(shell, ['-n', folder.file('script')])).toEqual({ stdout: '', stderr: '' })
  })

  it('is checked by bash at least', () => expect(installed.map(([shell]) => shell)).toContain('bash'))
})

describe('bash', () => {
  let folder: TemporaryFolder

  beforeAll(async () => {
    folder = await temporaryFolder()
    await writeFile(folder.file('script'), bashScript(tree))
  })

  afterAll(() => folder.remove())

  /** What bash offers when these are its words and the cursor is behind the last one. */
  async function offered(words: readonly string[]): Promise<string[]> {
    const ask =
      'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _flambeau; printf "%s\\n" "${COMPREPLY[@]}"'
    const { stdout } = await promisify(execFile)('bash', ['-uc', ask, 'bash', folder.file('script'), ...words])
    return stdout.split('\n').filter(line => line !== '')
  }

  it.each([
    ['flambeau sw', ['swarm']],
    ['flambeau swarm ', ['create', 'invite', 'join', 'leave', 'show']],
    ['flambeau swarm create --cl', ['--closed']],
    ['flambeau up --ba', ['--backend', '--batch']],
    ['flambeau up --backend ', ['auto', 'cuda', 'metal', 'vulkan', 'cpu']],
    ['flambeau up --backend c', ['cuda', 'cpu']],
    ['flambeau up --backend =', ['auto', 'cuda', 'metal', 'vulkan', 'cpu']],
    ['flambeau up --backend = v', ['vulkan']],
    ['flambeau up --name swarm --yi', ['--yield']],
    ['flambeau up --name s', []],
    ['flambeau completions ', ['bash', 'zsh', 'fish']],
    ['flambeau help exit', ['exit-codes']],
    ['flambeau run up --se', ['--seed']],
    ['flambeau service inst', ['install']],
    ['flambeau service install --d', ['--dry-run']],
    ['flambeau flies --', nodeAt('flambeau').options.map(({ name }) => name)]
  ])('offers after "%s"', async (line, expected) => {
    expect(await offered(line.split(' '))).toEqual(expected)
  })

  it('asks the function for the words after flambeau', async () => {
    const ask = 'source "$1"; complete -p flambeau'
    const { stdout } = await promisify(execFile)('bash', ['-c', ask, 'bash', folder.file('script')])
    expect(stdout).toBe('complete -F _flambeau flambeau\n')
  })
})
