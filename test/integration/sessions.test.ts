import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Answer } from '../../cli/answer.js'
import type { GenerateEvent, GenerateRequest } from '../../node/control/contract.js'
import { begun, type Mesh, startMesh } from '../support/mesh.js'
import { EMBER } from '../support/models.js'
import { type TemporaryFolder, temporaryFolder } from '../support/temporary.js'
import { writeTinyModel } from '../support/tiny-model.js'
import { waitFor } from '../support/wait-for.js'
import { wholeModel } from '../support/whole-model.js'

/** KV positions of each node. */
const CONTEXT = 65_536
/** Tokens of an answer that is still under way when it has to be: half a minute of a fast machine. */
const LONG = 16_000
const SESSIONS = 2
const BABBLE = ['run', 'babble', '--raw', '--temperature', '0', '--max-tokens', String(LONG), 'the']

let folder: TemporaryFolder
let mesh: Mesh

beforeAll(async () => {
  folder = await temporaryFolder()
  // At temperature 0 this random model never ends by itself; at others it sometimes draws its end.
  const { file } = await writeTinyModel(folder.file('babble.gguf'), { architecture: 'llama', context: CONTEXT })
  mesh = await startMesh({
    nodes: ['0-3', '3-6', '6-8'].map(layers => ({ layers, args: ['--sessions', String(SESSIONS)] })),
    models: [
      { file: EMBER, name: 'ember' },
      { file, name: 'babble' }
    ],
    context: CONTEXT
  })
})

afterAll(async () => {
  await mesh[Symbol.asyncDispose]()
  await folder.remove()
})

/** A long answer that is under way: its first text has come, and it goes on until it is closed. */
async function longAnswer(node: number): Promise<AsyncDisposable & { tokens: number[] }> {
  const controller = new AbortController()
  const sampling = { temperature: 0, maxTokens: LONG }
  const request: GenerateRequest = { model: 'babble', prompt: 'the', raw: true, sampling, dtype: 'f32' }
  const events = mesh.node(node).service.generate(request, { signal: controller.signal })
  const tokens: number[] = []
  const begun = Promise.withResolvers<undefined>()
  const reading = (async (): Promise<void> => {
    for await (const event of events) {
      if (event.event === 'text') tokens.push(...event.tokens)
      if (tokens.length > 0) begun.resolve(undefined)
    }
  })()
  reading.catch((error: unknown) => begun.reject(error))
  await begun.promise
  return {
    tokens,
    async [Symbol.asyncDispose]() {
      controller.abort(new Error('the test has seen enough'))
      await reading.catch(() => undefined)
    }
  }
}

/** Nobody holds anything of any session. */
async function everythingIsFree(): Promise<void> {
  await waitFor(
    async () => {
      const nodes = await mesh.status()
      const free = nodes.every(({ sessions, shards }) => {
        const rested = shards.every(shard => shard.sessions === 0 && shard.freeContext === CONTEXT)
        return sessions.served === 0 && sessions.origin === 0 && shards.length === 2 && rested
      })
      return free && nodes.length === 3
    },
    { what: 'every sequence and all KV to be free' }
  )
}

describe('several sessions at a time', () => {
  it('do not mix', async () => {
    const prompts = ['What is the capital of France?', 'Can you explain how Flambeau works?']
    const requests = prompts.map((prompt): GenerateRequest => ({
      model: 'ember',
      prompt,
      sampling: { temperature: 0, seed: 0 },
      dtype: 'f32'
    }))
    await using whole = await wholeModel(EMBER)
    const expected = [await whole.answer(at(requests, 0), 3), await whole.answer(at(requests, 1), 3)]
    const streams = requests.map((request, i) => mesh.node(i).service.generate(request)[Symbol.asyncIterator]())
    // Both have begun before either goes on.
    const begun = await Promise.all(streams.map(async stream => untilText(stream)))
    const rest = await Promise.all(streams.map(async stream => remaining(stream)))
    for (const i of [0, 1]) expect([...at(begun, i), ...at(rest, i)]).toEqual(expected[i])
    expect(at(expected, 0)).not.toEqual(at(expected, 1))
  })

  it('are as many as the owner allows; one more is told that the nodes are busy, and has its turn later', async () => {
    await everythingIsFree()
    {
      await using first = await longAnswer(0)
      await using second = await longAnswer(1)
      const third = await mesh.run(2, BABBLE)
      expect(third.stderr).toMatch(/busy|BUSY|no sequence|sequences are taken/)
      expect(third.code).toBe(5)
      expect(first.tokens.length).toBeLessThan(LONG)
      expect(second.tokens.length).toBeLessThan(LONG)
    }
    await everythingIsFree()
    const { tokens } = await mesh.ask(2, { model: 'babble', prompt: 'the', sampling: { temperature: 0, maxTokens: 5 } })
    expect(tokens).toHaveLength(5)
  })
})

describe('Ctrl+C', () => {
  it('ends the answer with exit code 130 and frees every stage', async () => {
    await everythingIsFree()
    const command = mesh.node(1).home.launch(BABBLE)
    await begun(command)
    const sessions = (await mesh.status()).map(status => status.sessions.served)
    expect(sessions).toEqual([1, 1, 1])
    command.kill('SIGINT')
    expect(await command.ended).toMatchObject({ code: 130 })
    await everythingIsFree()
  })

  it('does so where the command joined by itself', async () => {
    const member = await mesh.member()
    const command = member.launch(BABBLE)
    await begun(command)
    command.kill('SIGINT')
    expect(await command.ended).toMatchObject({ code: 130 })
    await everythingIsFree()
  })

  it('is not even needed: an origin that is killed frees every stage too', async () => {
    const member = await mesh.member()
    const command = member.launch(BABBLE)
    await begun(command)
    command.kill('SIGKILL')
    await command.ended
    await everythingIsFree()
  })
})

describe('limits of an answer', () => {
  it('a prompt longer than the context is told with both numbers', async () => {
    const { code, stderr } = await mesh.run(0, ['run', 'ember', '-'], {
      input: 'Tell me about the river. '.repeat(400)
    })
    expect(code).toBe(9)
    expect(stderr).toMatch(/prompt has \d{4} tokens.* room for 512 /)
  })

  it('max tokens and stop strings end it', async () => {
    const flags = ['run', 'ember', '--temperature', '0', '--json', 'What is the capital of France?']
    const short = await mesh.node(0).home.json<Answer>([...flags, '--max-tokens', '3'])
    expect(short).toMatchObject({ reason: 'length', stats: { generatedTokens: 3 } })
    const stopped = await mesh.node(0).home.json<Answer>([...flags, '--stop', ' is'])
    expect(stopped).toMatchObject({ reason: 'stop-string', text: 'The capital of France' })
  })
})

function at<T>(items: readonly T[], index: number): T {
  const item = items[index]
  if (item === undefined) throw new RangeError(`nothing at ${index}`)
  return item
}

async function untilText(stream: AsyncIterator<GenerateEvent, unknown>): Promise<number[]> {
  for (;;) {
    const next = await stream.next()
    if (next.done === true) throw new Error('the answer ended before it began')
    if (next.value.event === 'text') return next.value.tokens
  }
}

async function remaining(stream: AsyncIterator<GenerateEvent, unknown>): Promise<number[]> {
  const tokens: number[] = []
  for (;;) {
    const next = await stream.next()
    if (next.done === true) return tokens
    if (next.value.event === 'text') tokens.push(...next.value.tokens)
  }
}
