import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { COMMANDS } from '../../../cli/program.js'
import { ControlServer } from '../../../node/control/server.js'
import { locateHome, prepareHome } from '../../../node/home.js'
import { STATUS, MemoryService } from '../control/memory-service.js'

/** The compiled command, as people start it: `npm run build` comes before the tests. */
const main = fileURLToPath(new URL('../../../dist/cli/main.js', import.meta.url))
const logger = { debug: () => undefined, error: () => undefined }

let folder: string
let service: MemoryService
let server: ControlServer

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'flambeau-cli-'))
  service = new MemoryService()
  const home = prepareHome(locateHome({ FLAMBEAU_HOME: join(folder, 'running') }))
  server = new ControlServer({ service, logger }, home)
  await server.start()
})

afterAll(async () => {
  await server.stop()
  rmSync(folder, { recursive: true, force: true })
})

interface Started {
  child: ChildProcess
  stdout: () => string
  ended: Promise<{ code: number | null; stdout: string; stderr: string }>
}

function start(args: string[], { home = 'running', input = '' } = {}): Started {
  const env = { ...process.env, FLAMBEAU_HOME: join(folder, home), NO_COLOR: '1' }
  const child = spawn(process.execPath, [main, ...args], { env, stdio: ['pipe', 'pipe', 'pipe'] })
  let [stdout, stderr] = ['', '']
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()))
  child.stdin.end(input)
  const ended = once(child, 'close').then(([code]) => ({ code: code as number | null, stdout, stderr }))
  return { child, stdout: () => stdout, ended }
}

const flambeau = (args: string[], options?: Parameters<typeof start>[1]) => start(args, options).ended

describe('the command', () => {
  it('lists every command in its help', async () => {
    const { code, stdout } = await flambeau(['--help'])
    expect(code).toBe(0)
    for (const { name } of COMMANDS) expect(stdout).toMatch(new RegExp(`^  ${name} `, 'm'))
  })

  it.each(COMMANDS.map(({ name }) => name))('has help for %s', async name => {
    const { code, stdout, stderr } = await flambeau([name, '--help'])
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout).toContain(`Usage: flambeau ${name}`)
  })

  it.each([
    ['an unknown command', ['staus'], 'Did you mean status?'],
    ['an unknown option', ['up', '--prot', '1'], 'Did you mean --port?'],
    ['a missing argument', ['run'], "missing required argument 'model'"],
    ['a bad number', ['run', 'm', 'x', '--temperature', 'hot'], 'Must be a number from 0 to 100.'],
    ['a bad range', ['share', 'f', '--layers', '8'], '0-8'],
    ['bad cuts', ['shard', 'check', 'f', '--cuts', '5,2'], 'ascending'],
    ['--raw with --system', ['run', 'm', 'x', '--raw', '--system', 's'], '--raw'],
    ['an empty prompt', ['run', 'm'], 'empty'],
    ['an unknown shell', ['completions', 'tcsh'], 'bash, zsh, fish']
  ])('refuses %s in two lines, with exit code 2', async (_what, args, text) => {
    const { code, stdout, stderr } = await flambeau(args)
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
    expect(stderr).toMatch(/^flambeau: /)
    expect(stderr).toContain(text)
    expect(stderr.trim().split('\n').length).toBeLessThanOrEqual(2)
  })

  it('tells programs of errors on standard output', async () => {
    const { code, stdout, stderr } = await flambeau(['status', '--json'], { home: 'empty' })
    expect({ code, stderr }).toEqual({ code: 3, stderr: '' })
    expect(JSON.parse(stdout)).toMatchObject({ error: { code: 'NOT_RUNNING', details: {} } })
    const usage = await flambeau(['run', '--json'])
    expect(usage.code).toBe(2)
    expect(JSON.parse(usage.stdout)).toMatchObject({ error: { code: 'USAGE' } })
  })

  it('has the same help in both spellings', async () => {
    expect((await flambeau(['help', 'swarm'])).stdout).toBe((await flambeau(['swarm', '--help'])).stdout)
  })

  it('explains its exit codes', async () => {
    const { stdout } = await flambeau(['help', 'exit-codes'])
    expect(stdout).toContain('130  interrupted')
  })
})

describe('the commands that need no daemon', () => {
  it('create, show and leave a swarm', async () => {
    const home = { home: 'member' }
    expect((await flambeau(['swarm', 'show'], home)).code).toBe(3)
    expect((await flambeau(['swarm', 'create', 'village', '--closed'], home)).code).toBe(0)
    const { stdout } = await flambeau(['swarm', 'show', '--json'], home)
    expect(JSON.parse(stdout)).toMatchObject({ name: 'village', closed: true })
    expect(stdout).not.toContain('key')
    expect(await flambeau(['swarm', 'create', 'other'], home)).toMatchObject({ code: 3 })
    expect((await flambeau(['swarm', 'leave'], home)).code).toBe(0)
    expect((await flambeau(['join', 'flambeau:broken'], home)).code).toBe(2)
  })

  it('say that a file is no model', async () => {
    const file = join(folder, 'no.gguf')
    writeFileSync(file, 'no model')
    expect(await flambeau(['shard', 'check', file, '--cuts', '1'])).toMatchObject({ code: 6 })
    expect(await flambeau(['shard', 'check', join(folder, 'absent.gguf'), '--cuts', '1'])).toMatchObject({ code: 6 })
  })
})

describe('the commands that ask the daemon', () => {
  it('show its status', async () => {
    const { code, stdout } = await flambeau(['status'])
    expect(code).toBe(0)
    expect(stdout).toContain('lamp, online')
    expect(JSON.parse((await flambeau(['status', '--json'])).stdout)).toEqual(STATUS)
  })

  it('write the answer alone to standard output, route and timings to standard error', async () => {
    const { code, stdout, stderr } = await flambeau(['run', 'words', 'count', 'to', 'three', '--seed', '7'])
    expect({ code, stdout }).toEqual({ code: 0, stdout: 'un deux trois\n' })
    expect(stderr).toContain('tokens/s')
    expect(service.requests.at(-1)).toEqual({ model: 'words', prompt: 'count to three', sampling: { seed: 7 } })
  })

  it('read the prompt from standard input', async () => {
    await flambeau(['run', 'words', '-'], { input: 'from a pipe\n' })
    expect(service.requests.at(-1)).toMatchObject({ prompt: 'from a pipe' })
    await flambeau(['run', 'words', '--raw'], { input: 'raw \n' })
    expect(service.requests.at(-1)).toMatchObject({ prompt: 'raw \n', raw: true })
    await flambeau(['run', 'words', 'hi', '--system', 'be brief'])
    expect(service.requests.at(-1)).toMatchObject({ messages: [{ role: 'system' }, { role: 'user', content: 'hi' }] })
  })

  it('answer programs with one document', async () => {
    const { stdout, stderr } = await flambeau(['run', 'words', 'x', '--json'])
    expect(stderr).toBe('')
    expect(JSON.parse(stdout)).toMatchObject({
      model: 'words',
      text: 'un deux trois',
      tokens: [3, 5, 5],
      reason: 'stop'
    })
  })

  it('end with the exit code of what went wrong', async () => {
    const { code, stderr } = await flambeau(['run', 'fails', 'x'])
    expect(code).toBe(8)
    expect(stderr).toContain('flambeau: Stage 2 is gone.')
  })

  it('cancel the answer on Ctrl+C and end with 130', async () => {
    const { child, stdout, ended } = start(['run', 'endless', 'x'])
    await expect.poll(stdout, { timeout: 10_000 }).toContain('flambeau')
    child.kill('SIGINT')
    expect((await ended).code).toBe(130)
    expect(await service.cancelled.promise).toMatchObject({ code: 'ABORTED' })
  })

  it('end quietly when nobody reads on', async () => {
    const { child, stdout, ended } = start(['run', 'endless', 'x'])
    await expect.poll(stdout, { timeout: 10_000 }).toContain('flambeau')
    child.stdout?.destroy()
    expect(await ended).toMatchObject({ code: 0, stderr: '' })
  })

  it('share a file with progress', async () => {
    const file = join(folder, 'model.gguf')
    writeFileSync(file, 'x')
    const { code, stdout, stderr } = await flambeau(['share', file, '--layers', '0-2'])
    expect(code).toBe(0)
    expect(stdout).toContain('m is shared: 4 layers')
    expect(stderr).toContain('hashing: 50 %')
    expect(service.requests.at(-1)).toEqual({ file, layers: { start: 0, end: 2 } })
  })

  it('need one for an invitation, since its addresses belong into it', async () => {
    await flambeau(['swarm', 'create', 'village'], { home: 'other' })
    expect(await flambeau(['swarm', 'invite', '--json'], { home: 'other' })).toMatchObject({ code: 3 })
  })

  it('pause for a time, and resume', async () => {
    const paused = await flambeau(['pause', '--for', '1h30m'])
    expect(paused).toMatchObject({ code: 0, stdout: 'This node is online.\n' })
    expect((await flambeau(['resume'])).stdout).toContain('serves again')
    expect(service.asked.splice(0)).toEqual([{ seconds: 5400 }, 'resume'])
    const wrong = await flambeau(['pause', '--for', 'lunch'])
    expect(wrong.code).toBe(2)
    expect(wrong.stderr).toContain('Must be a time such as 90s, 45m, 2h or 1h30m')
  })

  it.each([
    [['down', '--now'], 0],
    [['drain', '--within', '90s'], 90],
    [['drain'], 600]
  ])('%j gives sessions %i seconds', async (args, drainSeconds) => {
    const { child, ended } = start(args)
    await expect.poll(() => service.asked.splice(0), { timeout: 10_000 }).toEqual([{ drainSeconds }])
    child.kill('SIGINT')
    expect((await ended).code).toBe(130)
  })

  // The last test of all: there is no daemon after it.
  it('stop the daemon, and wait for its end', async () => {
    const { child, ended } = start(['down'])
    await expect.poll(() => service.asked, { timeout: 10_000 }).toEqual([{ drainSeconds: 15 }])
    expect(child.exitCode).toBeNull()
    await server.stop()
    expect((await ended).stdout).toContain(`${STATUS.pid} has stopped`)
  })
})
