import { execFile, spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { appendFile, mkdir, readFile, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { authorOf } from '../../../../cli/service/stamp.js'
import { ControlServer } from '../../../../node/control/server.js'
import { locateHome, prepareHome } from '../../../../node/home.js'
import { createMembership, saveMembership } from '../../../../node/swarm/membership.js'
import { waitFor } from '../../../support/wait-for.js'
import { MemoryService, STATUS } from '../../control/memory-service.js'
import { fakePrograms, type FakePrograms } from './programs.js'

/** The compiled command: `npm run build` comes before the tests. */
const main = fileURLToPath(new URL('../../../../dist/cli/main.js', import.meta.url))

const SYSTEMCTL = `case $2 in
  show) [ -e "$FAKE/nobus" ] && { echo 'Failed to connect to bus: No medium found' >&2; exit 1; }; cat "$FAKE/state" ;;
  restart) cp "$FAKE/started" "$FAKE/state" ;;
  disable) cp "$FAKE/stopped" "$FAKE/state" ;;
  reset-failed) echo 'Unit flambeau.service not loaded.' >&2; exit 1 ;;
esac`
/** Ends only when it is told to, and then says so. */
const JOURNALCTL = `case "$*" in
  *--follow*) sleep 60 & trap 'kill $!; echo told >> "$FAKE/log"; exit 0' TERM; echo following; wait ;;
  *--lines=9*) exec yes ;;
  *) echo '{"level":30,"msg":"hello"}' ;;
esac`

const STOPPED =
  'LoadState=not-found\nActiveState=inactive\nSubState=dead\nUnitFileState=\nMainPID=0\nExecMainStatus=0\n'
const STARTED = `LoadState=loaded\nActiveState=active\nSubState=running\nUnitFileState=enabled\nMainPID=${STATUS.pid}\nExecMainStatus=0\n`
const FAILED = STARTED.replace('=active', '=activating')
  .replace('=running', '=auto-restart')
  .replace(/PID=\d+/, 'PID=0')

let programs: FakePrograms
let server: ControlServer
let env: Record<string, string>
let unit: string

beforeEach(async () => {
  const loginctl = 'echo Linger=no'
  programs = await fakePrograms({ systemctl: SYSTEMCTL, loginctl, journalctl: JOURNALCTL }, 'systemctl --user show')
  await programs.put('state', STOPPED)
  await programs.put('stopped', STOPPED)
  await programs.put('started', STARTED)
  const { folder } = programs
  const home = prepareHome(locateHome({ FLAMBEAU_HOME: folder.file('home') }))
  await saveMembership(home.swarmFile, createMembership('village'))
  server = new ControlServer(
    { service: new MemoryService(), logger: { debug: () => undefined, error: () => undefined } },
    home
  )
  env = { PATH: programs.path, HOME: folder.path, XDG_CONFIG_HOME: '', FLAMBEAU_HOME: home.path, NO_COLOR: '1' }
  unit = folder.file('.config', 'systemd', 'user', 'flambeau.service')
})

afterEach(async () => {
  await server.stop()
  await programs[Symbol.asyncDispose]()
})

interface Started {
  child: ChildProcess
  stdout: () => string
  ended: Promise<{ code: number | null; stdout: string; stderr: string }>
}

function start(args: string[]): Started {
  const child = spawn(process.execPath, [main, ...args], { env, stdio: ['ignore', 'pipe', 'pipe'] })
  let [stdout, stderr] = ['', '']
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()))
  const ended = once(child, 'close').then(([code]) => ({ code: code as number | null, stdout, stderr }))
  return { child, stdout: () => stdout, ended }
}

const flambeau = (args: string[]) => start(args).ended

/** Installs while a node starts to answer as soon as systemd is told to start it. */
async function install(args: string[] = []) {
  const { ended } = start(['service', 'install', ...args])
  await waitFor(async () => (await programs.asked()).includes('systemctl --user restart flambeau.service'))
  await server.start()
  return ended
}

async function writeUnit(text: string): Promise<void> {
  await mkdir(dirname(unit), { recursive: true })
  await writeFile(unit, text)
}

describe.runIf(process.platform === 'linux')('flambeau service', () => {
  it('installs, says what it did, and shows the state', async () => {
    env['FLAMBEAU_PORT'] = '1'
    const { code, stdout, stderr } = await install()
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(await programs.asked()).toEqual([
      'systemctl --user daemon-reload',
      `systemctl --user enable ${unit}`,
      'systemctl --user restart flambeau.service',
      expect.stringMatching(/^loginctl show-user \d+ --property=Linger$/)
    ])
    expect(stdout).toContain(`Wrote ${unit}`)
    expect(stdout).toContain(`process ${STATUS.pid}`)
    expect(stdout).toContain('flambeau logs')
    expect(stdout).toContain('loginctl enable-linger')
    expect(stdout).toContain('FLAMBEAU_PORT')
    const text = await readFile(unit, 'utf8')
    expect(text).toContain(`ExecStart="${process.execPath}" "${main}" up`)
    expect(JSON.parse((await flambeau(['service', 'status', '--json'])).stdout)).toEqual({
      installed: true,
      edited: false,
      enabled: true,
      running: true,
      pid: STATUS.pid,
      home: env['FLAMBEAU_HOME'],
      manager: 'systemd',
      file: unit
    })
    expect((await flambeau(['service', 'status'])).stdout).toContain(`home       ${env['FLAMBEAU_HOME'] ?? ''}`)
  })

  it('installs again and uninstalls, with one document each for programs', async () => {
    expect(JSON.parse((await install(['--json'])).stdout)).toMatchObject({
      replaced: false,
      answers: true,
      running: true
    })
    const again = JSON.parse((await flambeau(['service', 'install', '--json'])).stdout) as object
    expect(again).toMatchObject({ replaced: true, answers: true, installed: true, pid: STATUS.pid })
    const before = (await programs.asked()).length
    expect(JSON.parse((await flambeau(['service', 'uninstall', '--json'])).stdout)).toEqual({ removed: unit })
    expect((await programs.asked()).slice(before)).toEqual([
      'systemctl --user disable --now flambeau.service',
      'systemctl --user daemon-reload',
      'systemctl --user reset-failed flambeau.service'
    ])
    expect(JSON.parse((await flambeau(['service', 'status', '--json'])).stdout)).toMatchObject({
      installed: false,
      enabled: false,
      running: false,
      home: null
    })
    expect(await flambeau(['service', 'uninstall'])).toMatchObject({ code: 3 })
  })

  it('keeps a unit that was edited or written by somebody else, unless it is told otherwise', async () => {
    await writeUnit('[Service]\nExecStart=/bin/true\n')
    for (const command of ['install', 'uninstall']) {
      const { code, stderr } = await flambeau(['service', command])
      expect({ code, stderr }).toEqual({ code: 2, stderr: expect.stringContaining('was not written by') as string })
    }
    expect(await readFile(unit, 'utf8')).toBe('[Service]\nExecStart=/bin/true\n')
    expect(await programs.asked()).toEqual([])
    expect((await install(['--force'])).code).toBe(0)
    await appendFile(unit, '# mine\n')
    expect((await flambeau(['service', 'install'])).stderr).toContain('was edited since')
    expect(authorOf(await readFile(unit, 'utf8'))).toBe('edited')
    expect((await flambeau(['service', 'uninstall', '--force'])).code).toBe(0)
  })

  it('only shows what it would do with --dry-run', async () => {
    const { code, stdout } = await flambeau(['service', 'install', '--dry-run'])
    expect(code).toBe(0)
    expect(stdout).toContain(`Would write ${unit}`)
    expect(stdout).toContain('WantedBy=default.target')
    expect(stdout).toContain('systemctl --user restart flambeau.service')
    const shown = JSON.parse((await flambeau(['service', 'install', '--dry-run', '--json'])).stdout) as { text: string }
    expect(shown).toMatchObject({ file: unit, commands: [['systemctl', '--user', 'daemon-reload'], {}, {}] })
    expect(authorOf(shown.text)).toBe('ours')
    expect(await programs.asked()).toEqual([])
    await expect(readFile(unit)).rejects.toMatchObject({ code: 'ENOENT' })
  })

  it('says why a node ends at once', async () => {
    await programs.put('started', FAILED.replace('Status=0', 'Status=7'))
    const { code, stderr } = await flambeau(['service', 'install'])
    expect(code).toBe(1)
    expect(stderr).toContain('exit code 7 (the network: port taken')
    expect(stderr).toContain('flambeau logs')
  })

  it('refuses to begin where a node runs that is not the service', async () => {
    await server.start()
    const { code, stderr } = await flambeau(['service', 'install'])
    expect(code).toBe(3)
    expect(stderr).toContain('flambeau down')
    expect(await programs.asked()).toEqual([])
  })

  it('refuses a home without a swarm', async () => {
    env['FLAMBEAU_HOME'] = programs.folder.file('empty')
    expect(await flambeau(['service', 'install'])).toMatchObject({ code: 3, stdout: '' })
  })

  it.each([
    ['there is no systemctl', { PATH: '/var/empty' }, 'There is no systemctl here'],
    ['nothing answers it', {}, 'Failed to connect to bus: No medium found']
  ])('says that the node runs without where %s', async (_what, changed, text) => {
    await programs.put('nobus', '')
    Object.assign(env, changed)
    const { code, stdout, stderr } = await flambeau(['service', 'install'])
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
    expect(stderr).toContain(text)
    expect(stderr).toContain('`flambeau up` works without')
    expect(JSON.parse((await flambeau(['service', 'status', '--json'])).stdout)).toMatchObject({
      error: { code: 'NO_SERVICE_MANAGER' }
    })
    await expect(readFile(unit)).rejects.toMatchObject({ code: 'ENOENT' })
  })
})

describe.runIf(process.platform === 'linux')('flambeau logs', () => {
  it('shows the last lines of the journal', async () => {
    await writeUnit('')
    const { code, stdout } = await flambeau(['logs', '--lines', '7'])
    expect({ code, stdout }).toEqual({ code: 0, stdout: '{"level":30,"msg":"hello"}\n' })
    expect(await programs.asked()).toEqual(['journalctl --user -u flambeau.service --output=cat --lines=7 --no-pager'])
  })

  it('shows them for people on a terminal, and as they are with --json', async () => {
    await writeUnit('')
    const onTerminal = async (command: string) => {
      const words = `${process.execPath} ${main} ${command}`
      // `script` of util-linux is a terminal.
      const child = spawn('/usr/bin/script', ['-qec', words, '/dev/null'], {
        env,
        stdio: ['ignore', 'pipe', 'inherit']
      })
      let shown = ''
      child.stdout.on('data', (chunk: Buffer) => (shown += chunk.toString()))
      const [code] = (await once(child, 'close')) as [number]
      return { code, shown: shown.replaceAll('\r', '') }
    }
    expect(await onTerminal('logs')).toEqual({ code: 0, shown: 'INFO: hello\n' })
    expect(await onTerminal('logs --json')).toEqual({ code: 0, shown: '{"level":30,"msg":"hello"}\n' })
  })

  it('end quietly when nobody reads on', async () => {
    await writeUnit('')
    // In a pipe of the shell's: Node.js gives its children sockets.
    const line = '"$@" | { read -r first; echo "$first"; }; echo "${PIPESTATUS[0]}"'
    const words = ['-c', line, 'bash', process.execPath, main, 'logs', '--lines', '9']
    expect(await promisify(execFile)('/bin/bash', words, { env })).toEqual({ stdout: 'y\n0\n', stderr: '' })
  })

  it('follows until it is told to end, and passes that on', async () => {
    await writeUnit('')
    const { child, stdout, ended } = start(['logs', '--follow'])
    await waitFor(() => stdout().includes('following'))
    child.kill('SIGTERM')
    expect((await ended).code).toBe(130)
    expect(await programs.asked()).toEqual([
      'journalctl --user -u flambeau.service --output=cat --lines=100 --follow',
      'told'
    ])
  })

  it('say where the log is when no service is installed', async () => {
    const { code, stderr } = await flambeau(['logs'])
    expect(code).toBe(3)
    expect(stderr).toContain('flambeau service install')
  })
})
