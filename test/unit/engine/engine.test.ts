import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { expect, onTestFinished, test } from 'vitest'
import { EngineProcess, type EngineTimes } from '../../../node/engine/engine.js'
import type { EngineEvents, EngineInfo } from '../../../node/engine/types.js'
import { ENGINE_CHILD, startEngine } from '../../support/engine.js'
import { processes, type ProcessLine } from '../../support/processes.js'
import { temporaryFolder } from '../../support/temporary.js'
import { waitFor } from '../../support/wait-for.js'
import { CONTEXT, ember, loadWhole, rejectionOf, silentLogger, tokenStep } from './support.js'

const SETTINGS = { backend: 'cpu', threads: 1, gpuLayers: 0 } as const

function nextEvent<K extends keyof EngineEvents>(engine: EngineProcess, type: K): Promise<EngineEvents[K]> {
  const { promise, resolve } = Promise.withResolvers<EngineEvents[K]>()
  const listener = (event: EngineEvents[K]): void => {
    engine.removeEventListener(type, listener)
    resolve(event)
  }
  engine.addEventListener(type, listener)
  return promise
}

async function started(times?: Partial<EngineTimes>): Promise<EngineProcess> {
  const engine = await startEngine(times)
  onTestFinished(() => engine.stop())
  return engine
}

/** A compiled module of the engine, for an import in a script. */
function compiled(name: string): string {
  return JSON.stringify(new URL(name, ENGINE_CHILD).href)
}

function kill(engine: EngineProcess): void {
  process.kill(engine.pid ?? NaN, 'SIGKILL')
}

/** An engine whose child is a script that does what `body` says. */
async function scripted(body: string, times: Partial<EngineTimes>): Promise<EngineProcess> {
  const childModule = pathToFileURL(await scriptOf(body))
  const engine = new EngineProcess({ childModule, logger: silentLogger }, SETTINGS, times)
  onTestFinished(() => engine.stop())
  return engine
}

/** The path of a module that does what `body` says. */
async function scriptOf(body: string): Promise<string> {
  const folder = await temporaryFolder()
  onTestFinished(() => folder.remove())
  const file = folder.file('script.mjs')
  await writeFile(file, body)
  return file
}

test('an engine says what it runs on, and start is idempotent', async () => {
  const engine = await started()
  const info = await engine.start()
  expect(info).toEqual(engine.info)
  expect(info).toMatchObject({ backend: 'cpu', devices: [{ name: 'CPU' }] })
  expect(info.version).toContain('llama.cpp 0.5.0')
  expect(engine.state).toBe('ready')
})

test('a killed child rejects what is under way, is reported, and is replaced by one that works', async () => {
  const engine = await started()
  const shard = await loadWhole(engine)
  const lost = nextEvent(engine, 'lost')
  const ready = nextEvent(engine, 'ready')
  const tokens = Array.from({ length: 64 }, (_, n) => n)
  const steps = [0, 1, 2, 3].map(sequence => engine.step(tokenStep(shard, tokens, 0, { sequence })))
  kill(engine)
  const rejected = await Promise.all(steps.map(rejectionOf))
  expect(new Set(rejected)).toEqual(new Set(['ENGINE_LOST']))
  expect((await lost).detail).toEqual({ code: null, signal: 'SIGKILL', restartInMs: 10 })
  expect(engine.state).toBe('restarting')
  expect(await rejectionOf(engine.step(tokenStep(shard, [1], 0)))).toBe('ENGINE_STOPPED')
  const info: EngineInfo = (await ready).detail
  expect(info.backend).toBe('cpu')
  expect(await rejectionOf(engine.step(tokenStep(shard, [1], 0)))).toBe('UNKNOWN_SHARD')
  const again = await loadWhole(engine)
  expect(await rejectionOf(engine.step(tokenStep(again, [1], 0)))).toBeUndefined()
})

test('an engine that keeps dying is restarted ever later, up to a limit', async () => {
  const engine = await started({ firstRestart: 5, lastRestart: 12 })
  const delays = []
  for (let n = 0; n < 3; n++) {
    const lost = nextEvent(engine, 'lost')
    const ready = nextEvent(engine, 'ready')
    kill(engine)
    delays.push((await lost).detail.restartInMs)
    await ready
  }
  expect(delays).toEqual([5, 10, 12])
})

test('a long and healthy life forgets earlier deaths', async () => {
  const engine = await started({ firstRestart: 5, lastRestart: 100, healthy: 0 })
  for (let n = 0; n < 2; n++) {
    const lost = nextEvent(engine, 'lost')
    const ready = nextEvent(engine, 'ready')
    kill(engine)
    expect((await lost).detail.restartInMs).toBe(5)
    await ready
  }
})

test('a stopped engine stays stopped, and can be started again', async () => {
  const engine = await started()
  const { pid } = engine
  await engine.stop()
  await engine.stop()
  expect(engine.state).toBe('stopped')
  expect(engine.pid).toBeUndefined()
  expect(() => process.kill(pid ?? NaN, 0)).toThrow()
  expect(await rejectionOf(engine.load({ ...ember, start: 0, end: 8 }, CONTEXT))).toBe('ENGINE_STOPPED')
  await engine.start()
  expect(engine.pid).not.toBe(pid)
})

test('stopping while a restart is due leaves no child behind', async () => {
  const engine = await started({ firstRestart: 60_000, lastRestart: 60_000 })
  const lost = nextEvent(engine, 'lost')
  kill(engine)
  await lost
  await engine.stop()
  expect(engine.state).toBe('stopped')
})

test('a child that says nothing is killed, and the calls that wait for it reject', async () => {
  const hangs = `import { CallServer } from ${compiled('child-server.js')}
    import { ENGINE_CODECS } from ${compiled('messages.js')}
    new CallServer(ENGINE_CODECS).serve({
      start: () => ({ backend: 'cpu', version: '', devices: [] }),
      release: () => new Promise(() => {})
    })`
  const engine = await scripted(hangs, { stepSilence: 50 })
  await engine.start()
  const lost = nextEvent(engine, 'lost')
  expect(await rejectionOf(engine.release(1, 0))).toBe('ENGINE_LOST')
  expect((await lost).detail.signal).toBe('SIGKILL')
})

test('a child that dies while it starts is an error with its last words, not a restart', async () => {
  const engine = await scripted(`console.error('GGML_ASSERT(false) failed'); process.exit(3)`, {})
  await expect(engine.start()).rejects.toMatchObject({
    code: 'ENGINE_LOST',
    details: { lastLines: ['GGML_ASSERT(false) failed'] }
  })
  expect(engine.state).toBe('stopped')
})

test('a child that cannot be started for want of file descriptors is an error, and no more than that', async () => {
  const script = await scriptOf(
    `import ${compiled('../compat.js')}
     import { closeSync, openSync } from 'node:fs'
     import { EngineProcess } from ${compiled('engine.js')}
     const logger = { debug() {}, info() {}, warn() {}, error() {} }
     const engine = new EngineProcess({ childModule: new URL(${compiled('child.js')}), logger }, ${JSON.stringify(SETTINGS)})
     const taken = []
     try { for (;;) taken.push(openSync(process.argv[1])) } catch {}
     await engine.start().catch(({ code }) => console.log(code))
     taken.forEach(closeSync)
     await engine.start()
     console.log(engine.state)
     await engine.stop()`
  )
  const { stdout } = await promisify(execFile)('sh', ['-c', `ulimit -n 200; exec "${process.execPath}" "${script}"`])
  expect(stdout).toBe('ENGINE_LOST\nready\n')
})

test('a backend that is not there is a clear error', async () => {
  const engine = new EngineProcess(
    { childModule: ENGINE_CHILD, logger: silentLogger },
    { ...SETTINGS, backend: 'metal' }
  )
  onTestFinished(() => engine.stop())
  expect(await rejectionOf(engine.start())).toBe(process.platform === 'darwin' ? undefined : 'LIBRARIES_MISSING')
})

test('a load that nobody waits for any more is undone', async () => {
  const engine = await started()
  const controller = new AbortController()
  const loading = engine.load({ ...ember, start: 0, end: 8 }, CONTEXT, { signal: controller.signal })
  controller.abort(new Error('changed my mind'))
  await expect(loading).rejects.toThrow('changed my mind')
  // Answered after the load and its undoing, since calls are handled in order.
  const next = await loadWhole(engine)
  expect(await rejectionOf(engine.unload(next.id - 1))).toBe('UNKNOWN_SHARD')
})

test('the child ends when its parent dies without a goodbye', async () => {
  const script = await scriptOf(
    `import ${compiled('../compat.js')}
     import { ChildClient } from ${compiled('child-client.js')}
     import { ENGINE_CODECS } from ${compiled('messages.js')}
     const logger = { debug() {}, info() {}, warn() {}, error() {} }
     const parts = { childModule: new URL(${compiled('child.js')}), codecs: ENGINE_CODECS, logger, onExit() {} }
     const client = ChildClient.spawn(parts, { lostCode: 'ENGINE_LOST', execArgv: [] })
     console.log(client.pid)
     client.call('start', ${JSON.stringify(SETTINGS)}, { silence: 60_000 })
       .then(() => process.kill(process.pid, 'SIGKILL'))`
  )
  const parent = spawn(process.execPath, [script], { stdio: ['ignore', 'pipe', 'ignore'] })
  const [printed] = (await once(parent.stdout, 'data')) as [Buffer]
  const child = Number(printed.toString())
  expect(parent.signalCode ?? ((await once(parent, 'exit')) as unknown[])[1]).toBe('SIGKILL')
  const isChild = ({ pid, command }: ProcessLine): boolean => pid === child && command.includes('child.js')
  await waitFor(async () => !(await processes()).some(isChild), { what: 'the end of the child', limit: 10_000 })
})
