import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { connectToDaemon } from '../../../node/control/client.js'
import { MAX_REQUEST_BYTES } from '../../../node/control/limits.js'
import { ControlServer } from '../../../node/control/server.js'
import type { ControlService } from '../../../node/control/service.js'
import { ESTIMATE, PLAN, MemoryService, STATUS } from './memory-service.js'

const logger = { debug: () => undefined, error: () => undefined }
const posix = process.platform !== 'win32'

let folder: string
let controlSocket: string
let service: MemoryService
let server: ControlServer

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'flambeau-control-'))
  controlSocket = posix ? join(folder, 'control.sock') : `\\\\.\\pipe\\${folder.replaceAll(/[\\:]/g, '-')}`
  service = new MemoryService()
  server = new ControlServer({ service, logger }, { controlSocket })
  await server.start()
})

afterEach(async () => {
  await server.stop()
  rmSync(folder, { recursive: true, force: true })
})

async function client(): Promise<ControlService> {
  const daemon = await connectToDaemon({ controlSocket })
  if (daemon === undefined) throw new Error('no daemon')
  return daemon
}

async function collect<T>(events: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = []
  for await (const event of events) all.push(event)
  return all
}

/** A request as another program would send it. */
function send(method: string, path: string, body?: string): Promise<{ status: number | undefined; text: string }> {
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/json' }
    const outgoing = request({ socketPath: controlSocket, method, path, headers, agent: false }, response => {
      let text = ''
      response.setEncoding('utf8')
      response.on('data', (chunk: string) => (text += chunk))
      response.once('end', () => resolve({ status: response.statusCode, text }))
    })
    outgoing.once('error', reject)
    outgoing.end(body)
  })
}

describe('the control socket', () => {
  it('answers simple calls', async () => {
    const daemon = await client()
    expect(await daemon.status()).toEqual(STATUS)
    expect(await daemon.invite()).toEqual({ invitation: 'flambeau:abc', name: 'village', closed: false })
    const name = `../${'ä model'.repeat(30)}`
    expect(await daemon.remove(name)).toEqual({ name, manifest: 'f'.repeat(64) })
    expect(service.removed).toEqual([name])
  })

  it('hands errors on with code, message and details', async () => {
    const daemon = await client()
    await expect(daemon.peers()).rejects.toMatchObject({
      name: 'RemoteError',
      code: 'DIRECTORY',
      message: 'The directory is on fire.',
      details: { heat: 9 }
    })
    await expect(daemon.models()).rejects.toMatchObject({ code: 'INTERNAL', message: 'a bug' })
  })

  it('answers before it stops the daemon', async () => {
    await (await client()).stop({ drainSeconds: 15 })
    await expect.poll(() => service.asked).toEqual([{ drainSeconds: 15 }])
  })

  it('hands on a pause with and without an end, and its end', async () => {
    const daemon = await client()
    expect(await daemon.pause({})).toEqual({ state: 'draining', pauses: [{ reason: 'owner' }], overruled: [] })
    expect(await daemon.pause({ seconds: 90 })).toMatchObject({ pauses: [{ reason: 'owner', until: 90 }] })
    expect(await daemon.resume()).toMatchObject({ state: 'online' })
    expect(service.asked).toEqual([{}, { seconds: 90 }, 'resume'])
  })

  it('says what to expect, of a model or of a file', async () => {
    const daemon = await client()
    expect(await daemon.plan({ model: 'toy', promptTokens: 9, maxTokens: 2 })).toEqual(PLAN)
    expect(await daemon.plan({ file: '/m.gguf' })).toEqual(PLAN)
    expect(await daemon.estimates()).toEqual([ESTIMATE])
    expect(service.plans).toEqual([{ model: 'toy', promptTokens: 9, maxTokens: 2 }, { file: '/m.gguf' }])
  })

  it.each([
    [{}],
    [{ model: 'toy', file: '/m.gguf' }],
    [{ model: 'toy', promptTokens: 0 }],
    [{ model: 'toy', tokens: 1 }]
  ])('does not plan %j', async request => {
    await expect((await client()).plan(request)).rejects.toMatchObject({ code: 'BAD_REQUEST' })
    expect(service.plans).toEqual([])
  })

  it.runIf(posix)('is for its owner alone', () => {
    expect(statSync(controlSocket).mode & 0o777).toBe(0o600)
  })

  it('has no daemon once it is closed', async () => {
    await server.stop()
    await server.stop()
    expect(await connectToDaemon({ controlSocket })).toBeUndefined()
    if (posix) expect(existsSync(controlSocket)).toBe(false)
  })
})

describe('streams', () => {
  it('deliver every event in order', async () => {
    const daemon = await client()
    const request = { model: 'words', prompt: 'count', sampling: { temperature: 0, stop: ['.'] } }
    const events = await collect(daemon.generate(request))
    expect(events.map(event => event.event)).toEqual(['route', 'text', 'text', 'text', 'done'])
    expect(service.requests).toEqual([request])
    const shared = await collect(daemon.share({ file: '/m.gguf', layers: { start: 0, end: 2 } }))
    expect(shared.at(-1)).toMatchObject({ event: 'shared', cuts: [2] })
  })

  it('end with the error of the daemon', async () => {
    const events = (await client()).generate({ model: 'fails', prompt: '', sampling: {} })
    await expect(collect(events)).rejects.toMatchObject({ code: 'STAGE_LOST', details: { stage: 2 } })
  })

  it('are cancelled by the signal, also while nothing comes', async () => {
    const abort = new AbortController()
    const events = (await client()).generate({ model: 'silent', prompt: '', sampling: {} }, abort)
    const collected = (async () => {
      for await (const event of events) if (event.event === 'route') abort.abort(new Error('enough'))
    })()
    await expect(collected).rejects.toThrow('enough')
    expect(await service.cancelled.promise).toMatchObject({ code: 'ABORTED' })
  })

  it('are cancelled when the reader leaves', async () => {
    for await (const event of (await client()).generate({ model: 'endless', prompt: '', sampling: {} })) {
      if (event.event === 'text') break
    }
    expect(await service.cancelled.promise).toMatchObject({ code: 'ABORTED' })
  })

  it('are cancelled when the client process is killed', async () => {
    const body = JSON.stringify({ model: 'silent', prompt: '', sampling: {} })
    const script = `
      const request = require('node:http').request({ socketPath: ${JSON.stringify(controlSocket)}, method: 'POST',
        path: '/v1/generate', headers: { 'content-type': 'application/json' } }, r => r.once('data', () => console.log('on')))
      request.end(${JSON.stringify(body)})`
    const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] })
    await once(child.stdout, 'data')
    child.kill('SIGKILL')
    expect(await service.cancelled.promise).toMatchObject({ code: 'ABORTED' })
  })

  it('end with STOPPING when the daemon stops', async () => {
    const events = (await client()).generate({ model: 'silent', prompt: '', sampling: {} })
    const collected = (async () => {
      for await (const event of events) if (event.event === 'route') void server.stop()
    })()
    await expect(collected).rejects.toMatchObject({ code: 'STOPPING' })
  })
})

describe('requests that are not understood', () => {
  it.each([
    ['no JSON', '/v1/generate', '{"model":', 400],
    ['no model', '/v1/generate', '{"prompt":"x","sampling":{}}', 400],
    ['a prompt and messages', '/v1/generate', '{"model":"m","prompt":"x","messages":[],"sampling":{}}', 400],
    ['neither prompt nor messages', '/v1/generate', '{"model":"m","sampling":{}}', 400],
    ['an unknown key', '/v1/generate', '{"model":"m","prompt":"x","sampling":{},"top_k":1}', 400],
    ['a temperature below 0', '/v1/generate', '{"model":"m","prompt":"x","sampling":{"temperature":-1}}', 400],
    ['a body that is too large', '/v1/generate', `"${'x'.repeat(MAX_REQUEST_BYTES)}"`, 413],
    ['no file', '/v1/share', '{}', 400],
    ['no time to drain', '/v1/stop', '{}', 400],
    ['a pause that has ended already', '/v1/pause', '{"seconds":-1}', 400],
    ['no such route', '/v1/nothing', '{}', 400]
  ])('%s is refused with an error view', async (_what, path, body, status) => {
    const answer = await send('POST', path, body)
    expect(answer.status).toBe(status)
    expect(JSON.parse(answer.text)).toMatchObject({ error: { code: 'BAD_REQUEST', details: {} } })
    expect([service.requests, service.asked]).toEqual([[], []])
  })
})

describe('one daemon a home', () => {
  it('refuses a second one and names the process of the first', async () => {
    const second = new ControlServer({ service: new MemoryService(), logger }, { controlSocket })
    await expect(second.start()).rejects.toMatchObject({ code: 'ALREADY_RUNNING', details: { pid: STATUS.pid } })
    expect(await (await client()).status()).toEqual(STATUS)
  })

  it.runIf(posix)('takes over the socket of a daemon that was killed', async () => {
    await server.stop()
    const script = `require('node:net').createServer().listen(${JSON.stringify(controlSocket)}, () => console.log('on'))`
    const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] })
    await once(child.stdout, 'data')
    child.kill('SIGKILL')
    await once(child, 'exit')
    expect(existsSync(controlSocket)).toBe(true)
    expect(await connectToDaemon({ controlSocket })).toBeUndefined()
    server = new ControlServer({ service, logger }, { controlSocket })
    await server.start()
    expect(await (await client()).status()).toEqual(STATUS)
  })

  it.runIf(posix)('does not delete a file that is not a socket', async () => {
    await server.stop()
    writeFileSync(controlSocket, 'precious')
    const other = new ControlServer({ service, logger }, { controlSocket })
    await expect(other.start()).rejects.toMatchObject({ code: 'CONTROL_SOCKET' })
    expect(statSync(controlSocket).size).toBe(8)
  })
})

describe('a daemon that misbehaves', () => {
  let fake: Server

  async function answering(bytes: string): Promise<ControlService> {
    await server.stop()
    fake = createServer(socket => {
      socket.on('error', () => undefined)
      socket.once('data', () => socket.end(bytes))
    })
    fake.listen(controlSocket)
    await once(fake, 'listening')
    return client()
  }

  afterEach(() => new Promise(resolve => fake.close(resolve)))

  it('that dies in the middle of a stream gives DAEMON_LOST', async () => {
    const chunk = '{"event":"text","text":"hal","tokens":[1]}\n'
    const head = 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n'
    const daemon = await answering(`${head}${chunk.length.toString(16)}\r\n${chunk}\r\n`)
    const seen: string[] = []
    const collected = (async () => {
      for await (const event of daemon.generate({ model: 'm', prompt: '', sampling: {} })) seen.push(event.event)
    })()
    await expect(collected).rejects.toMatchObject({ name: 'ControlError', code: 'DAEMON_LOST' })
    expect(seen).toEqual(['text'])
  })

  it('that ends a stream without its last event gives DAEMON_LOST', async () => {
    const daemon = await answering('HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{"event":"route"}\n')
    const events = daemon.generate({ model: 'm', prompt: '', sampling: {} })
    await expect(collect(events)).rejects.toMatchObject({ code: 'DAEMON_LOST' })
  })

  it.each([
    ['no JSON', 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n<>', 'DAEMON_PROTOCOL'],
    ['an error of another shape', 'HTTP/1.1 500 No\r\ncontent-length: 2\r\n\r\n{}', 'DAEMON_PROTOCOL'],
    ['a closed door', 'HTTP/1.1 503 No\r\ncontent-length: 2\r\n\r\n{}', 'STOPPING'],
    ['no HTTP', 'hello\r\n\r\n', 'DAEMON_LOST']
  ])('that answers %s gives a clear error', async (_what, bytes, code) => {
    await expect((await answering(bytes)).status()).rejects.toMatchObject({ code })
  })
})
