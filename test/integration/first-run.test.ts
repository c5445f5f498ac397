import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { createMembership, invitationTo, loadMembership } from '../../node/swarm/membership.js'
import { flambeauHome, type FlambeauHome, type RunningCommand } from '../support/flambeau-process.js'
import { waitFor } from '../support/wait-for.js'

/**
 * In a terminal of its own: `script` of util-linux, which hands the command as one text to `$SHELL`. That one gives way
 * to it, since Ctrl+C reaches both and a shell such as dash then ends with a status of its own.
 */
const TERMINAL = ['bash', '-c', 'SHELL=$BASH exec script -qec "exec $(printf "%q " "$@")" /dev/null', 'bash']
const ALONE = ['--port', '0', '--no-mdns', '--no-upnp', '--backend', 'cpu']
const ENTER = '\r'
const CTRL_C = '\x03'
const CTRL_D = '\x04'

/** The first start of a node, at its terminal. */
function firstUp(home: FlambeauHome, args: readonly string[] = []): RunningCommand {
  return home.launch(['up', ...ALONE, ...args], { within: TERMINAL })
}

/** Waits for a question, and answers. */
async function answer(node: RunningCommand, question: string, text: string): Promise<void> {
  await seen(node, question)
  // What stands in brackets is the last thing to be written before it listens.
  await waitFor(() => node.output().stdout.slice(node.output().stdout.lastIndexOf(question)).includes('] '))
  node.type(text)
}

async function seen(node: RunningCommand, text: string): Promise<void> {
  await waitFor(() => node.output().stdout.includes(text), { what: `"${text}"`, limit: 60_000 })
}

async function filesOf({ path }: FlambeauHome): Promise<string[]> {
  return (await readdir(path)).sort()
}

describe.runIf(process.platform === 'linux')('the first flambeau up at a terminal', () => {
  it('asks three questions, says what is wrong with an answer, keeps the answers, and starts', async () => {
    await using home = await flambeauHome()
    const node = firstUp(home)
    await answer(node, 'Which swarm?', `garden${ENTER}`)
    await answer(node, 'How much memory', `8 apples${ENTER}`)
    await answer(node, 'Must be auto or a size', `2GiB${ENTER}`)
    await answer(node, 'Pause while other programs', `yes${ENTER}`)
    await seen(node, 'is up.')
    expect(await readFile(join(home.path, 'config.toml'), 'utf8')).toMatch(
      /^# Written by .*\n\n\[share\]\nmemory = "2GiB"\n\n\[schedule\]\nyield = true\n$/
    )
    const membership = await loadMembership(join(home.path, 'swarm.json'))
    expect(membership).toMatchObject({ name: 'garden', bootstrap: [] })
    expect(membership?.key).toHaveLength(32)
    node.type(CTRL_C)
    expect((await node.ended).code).toBe(0)
    // The second start has nothing to ask.
    const again = firstUp(home)
    await seen(again, 'is up.')
    expect(again.output().stdout).not.toContain('Which swarm?')
    again.type(CTRL_C)
    expect((await again.ended).code).toBe(0)
  })

  it('joins by an invitation, and takes what stands in brackets with Enter', async () => {
    await using home = await flambeauHome()
    const swarm = createMembership('village', { closed: true })
    const invitation = invitationTo(swarm, [])
    const node = firstUp(home)
    await answer(node, 'Which swarm?', `${invitation.slice(0, -3)}${ENTER}`)
    await answer(node, 'the invitation is damaged', `${invitation}${ENTER}`)
    await answer(node, 'How much memory', ENTER)
    await answer(node, 'Pause while other programs', ENTER)
    await seen(node, 'is up.')
    expect(await loadMembership(join(home.path, 'swarm.json'))).toEqual(swarm)
    expect(await readFile(join(home.path, 'config.toml'), 'utf8')).toMatch(/memory = "auto"[^]*yield = false/)
    node.type(CTRL_C)
    expect((await node.ended).code).toBe(0)
  })

  it.each([
    ['Ctrl+C', CTRL_C],
    ['the end of the input', CTRL_D]
  ])('leaves nothing behind after %s', async (_what, key) => {
    await using home = await flambeauHome()
    const node = firstUp(home)
    await answer(node, 'Which swarm?', `garden${ENTER}`)
    await answer(node, 'How much memory', key)
    expect((await node.ended).code).toBe(130)
    expect(await filesOf(home)).toEqual([])
  })

  it('leaves a config.toml that is there as it is, and asks for the swarm only', async () => {
    await using home = await flambeauHome()
    await writeFile(join(home.path, 'config.toml'), 'name = "attic"\n')
    const node = firstUp(home)
    await answer(node, 'Which swarm?', `garden${ENTER}`)
    await seen(node, 'attic is up.')
    expect(node.output().stdout).not.toContain('How much memory')
    expect(await readFile(join(home.path, 'config.toml'), 'utf8')).toBe('name = "attic"\n')
    node.type(CTRL_C)
    expect((await node.ended).code).toBe(0)
  })

  it('does not ask for what the command line says', async () => {
    await using home = await flambeauHome()
    const node = firstUp(home, ['--memory', '1GiB', '--no-yield'])
    await answer(node, 'Which swarm?', `garden${ENTER}`)
    await seen(node, 'is up.')
    expect(await filesOf(home)).not.toContain('config.toml')
    node.type(CTRL_C)
    expect((await node.ended).code).toBe(0)
  })
})

describe('without anybody to ask', () => {
  it.each([
    ['without a terminal', [], []],
    ['for a program', TERMINAL, ['--json']]
  ])('flambeau up says %s that it has no swarm', async (_what, within, args) => {
    await using home = await flambeauHome({ within })
    const { code, stdout, stderr } = await home.run(['up', ...ALONE, ...args])
    expect(code).toBe(3)
    expect(`${stdout}${stderr}`).toMatch(/This node belongs to no swarm.*flambeau join INVITATION/)
  })
})
