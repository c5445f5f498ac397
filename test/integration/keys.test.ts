import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import OpenAI from 'openai'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type FlambeauHome, flambeauHome, type RunningNode } from '../support/flambeau-process.js'
import { type Mesh, startMesh, succeed } from '../support/mesh.js'
import { temporaryFolder } from '../support/temporary.js'
import { writeTinyModel } from '../support/tiny-model.js'
import { waitFor } from '../support/wait-for.js'

const MESSAGES: OpenAI.ChatCompletionMessageParam[] = [{ role: 'user', content: 'the' }]
const SHORT = { messages: MESSAGES, temperature: 0, max_tokens: 4 }
/** Far longer than a revocation takes. */
const LONG = { messages: MESSAGES, temperature: 0, max_tokens: 8_000, stream: true } as const
const CONTEXT = 16_384

const opened: AsyncDisposable[] = []
const secrets: string[] = []
/** Node 0 listens on this machine alone, node 1 everywhere; both hold all of `tiny` and of `other`. */
let mesh: Mesh

beforeAll(async () => {
  const folder = await temporaryFolder()
  opened.push({ [Symbol.asyncDispose]: () => folder.remove() })
  const made = { architecture: 'qwen3', context: CONTEXT } as const
  const tiny = await writeTinyModel(folder.file('tiny.gguf'), made)
  const other = await writeTinyModel(folder.file('other.gguf'), { ...made, seed: 7 })
  mesh = await startMesh({
    nodes: [{ args: ['--gateway', '127.0.0.1:0'] }],
    models: [
      { file: tiny.file, name: 'tiny' },
      { file: other.file, name: 'other' }
    ],
    context: CONTEXT
  })
  opened.push(mesh)
})

afterAll(async () => {
  for (const one of opened.reverse()) await one[Symbol.asyncDispose]()
})

async function createKey(home: FlambeauHome, name: string, ...args: string[]): Promise<string> {
  const { stdout } = await succeed(home, ['key', 'create', '--name', name, ...args])
  const secret = stdout.trim()
  secrets.push(secret)
  return secret
}

async function clientOf({ service }: Pick<RunningNode, 'service'>, apiKey: string): Promise<OpenAI> {
  const { gateway = '' } = await service.status()
  return new OpenAI({ baseURL: `${gateway.replace('0.0.0.0', '127.0.0.1')}/v1`, apiKey, maxRetries: 0 })
}

/** Status and code of what a request is refused with. */
async function refusal(asking: Promise<unknown>): Promise<unknown> {
  return asking.then(
    () => 'answered',
    (error: unknown) => {
      const { status, code } = error as InstanceType<typeof OpenAI.APIError>
      return [status, code]
    }
  )
}

describe('on this machine', () => {
  it('no key is needed, but one that is sent counts', async () => {
    const { home, process } = mesh.node(0)
    const none = await clientOf(process, 'none')
    const { usage } = await none.chat.completions.create({ model: 'tiny', ...SHORT })
    const secret = await createKey(home, 'local')
    const client = await clientOf(process, secret)
    expect((await client.chat.completions.create({ model: 'tiny', ...SHORT })).usage?.total_tokens).toBe(
      usage?.total_tokens
    )
    await succeed(home, ['key', 'revoke', 'local'])
    expect(await refusal(client.models.list())).toEqual([401, 'invalid_api_key'])
    expect((await none.models.list()).data).toHaveLength(2)
  })

  it("a key never goes on from another's conversation, nor from the owner's", async () => {
    const { home, process } = mesh.node(0)
    const messages: OpenAI.ChatCompletionMessageParam[] = [{ role: 'user', content: 'a long story '.repeat(9) }]
    const cached = async (client: OpenAI): Promise<number | undefined> => {
      const { usage } = await client.chat.completions.create({ model: 'tiny', ...SHORT, messages })
      return usage?.prompt_tokens_details?.cached_tokens
    }
    const owner = await clientOf(process, 'none')
    const [one, two] = [await createKey(home, 'first'), await createKey(home, 'second')]
    for (const client of [owner, await clientOf(process, one), await clientOf(process, two)]) {
      expect(await cached(client)).toBe(0)
      expect(await cached(client)).toBeGreaterThan(50)
    }
  })

  it('a key opens its own models only, by name and by hash', async () => {
    const { home, process } = mesh.node(0)
    const client = await clientOf(process, await createKey(home, 'one model', '--models', 'tiny'))
    const { data } = await (await clientOf(process, 'none')).models.list()
    const hashOf = (name: string): string =>
      (data.find(({ id }) => id === name) as unknown as { flambeau: { manifest: string } }).flambeau.manifest
    expect((await client.models.list()).data.map(({ id }) => id)).toEqual(['tiny'])
    for (const model of ['tiny', hashOf('tiny'), hashOf('tiny').slice(0, 8)]) {
      expect((await client.chat.completions.create({ model, ...SHORT })).choices).toHaveLength(1)
    }
    for (const model of ['other', hashOf('other'), hashOf('other').slice(0, 8)]) {
      expect(await refusal(client.chat.completions.create({ model, ...SHORT }))).toEqual([403, 'model_not_allowed'])
      expect(await refusal(client.models.retrieve(model))).toEqual([404, 'model_not_found'])
    }
  })

  it('a key that asks too often is told when to come back, and is right then', async () => {
    const { home, process } = mesh.node(0)
    const client = await clientOf(process, await createKey(home, 'often', '--rpm', '30'))
    const burst = await Promise.allSettled(Array.from({ length: 40 }, async () => client.models.list()))
    const refused = burst.flatMap(one => (one.status === 'rejected' ? [one.reason as unknown] : []))
    // One more every two seconds.
    expect(refused.length).toBeGreaterThan(5)
    const [error] = refused as InstanceType<typeof OpenAI.APIError>[]
    expect([error?.status, error?.code]).toEqual([429, 'rate_limit_exceeded'])
    expect(Number(error?.headers?.get('retry-after'))).toBeLessThanOrEqual(2)
    // The client itself waits for as long as it is told to.
    expect((await client.models.list({ maxRetries: 1 })).data).toHaveLength(2)
  })

  it('the tokens of a day end an answer, and are still spent after a restart', async () => {
    const { home, process } = mesh.node(0)
    const secret = await createKey(home, 'spender', '--tokens-per-day', '200')
    const client = await clientOf(process, secret)
    const stream = await client.chat.completions.create({ model: 'tiny', ...LONG })
    const reading = (async () => {
      for await (const chunk of stream) expect(chunk.object).toBe('chat.completion.chunk')
    })()
    await expect(reading).rejects.toMatchObject({ code: 'tokens_exhausted' })
    expect(await refusal(client.chat.completions.create({ model: 'tiny', ...SHORT }))).toEqual([
      ...[429, 'tokens_exhausted']
    ])
    await succeed(home, ['down', '--now'])
    const again = await mesh.restart(0)
    await mesh.complete('tiny')
    const later = await clientOf(again.process, secret)
    // It may have become midnight meanwhile.
    const spent = JSON.parse(await readFile(join(home.path, 'keys-usage.json'), 'utf8')) as { day: string }
    const now = await refusal(later.chat.completions.create({ model: 'tiny', ...SHORT }))
    const isSameDay = spent.day === new Date().toISOString().slice(0, 10)
    expect(now).toEqual(isSameDay ? [429, 'tokens_exhausted'] : 'answered')
  })

  it('a key that is revoked ends the stream that is under way with it, and no other', async () => {
    const { home, process } = mesh.node(0)
    const client = await clientOf(process, await createKey(home, 'leaver'))
    const stays = await clientOf(process, await createKey(home, 'stays'))
    const [stream, other] = [
      await client.chat.completions.create({ model: 'tiny', ...LONG }),
      await stays.chat.completions.create({ model: 'tiny', ...LONG })
    ]
    const [mine, others] = [stream[Symbol.asyncIterator](), other[Symbol.asyncIterator]()]
    for (let i = 0; i < 3; i++) await Promise.all([mine.next(), others.next()])
    await succeed(home, ['key', 'revoke', 'leaver'])
    const reading = (async () => {
      while ((await mine.next()).done !== true);
    })()
    await expect(reading).rejects.toMatchObject({ code: 'invalid_api_key' })
    expect((await others.next()).done).toBe(false)
    other.controller.abort()
    await waitFor(async () => (await process.status()).sessions.origin === 0, { what: 'all stages to be free' })
    expect(await refusal(client.models.list())).toEqual([401, 'invalid_api_key'])
  })
})

describe('where other machines reach it', () => {
  let home: FlambeauHome
  let node: RunningNode

  beforeAll(async () => {
    home = await mesh.member()
    const up = ['up', '--port', '0', '--no-mdns', '--no-upnp', '--gateway', '0.0.0.0:0', '--log-level', 'debug']
    const without = await home.run([...up, '--json'])
    expect(without.code).toBe(2)
    expect(JSON.parse(without.stdout)).toMatchObject({ error: { code: 'KEYS_NEEDED' } })
    expect(without.stdout).toContain('flambeau key create')
    await createKey(home, 'first')
    node = await home.startNode([...up, '--threads', '1', '--backend', 'cpu', '--context', String(CONTEXT)])
  })

  it('nobody gets in without a valid key, which needs no restart', async () => {
    for (const wrong of ['none', 'sk-x', `flambeau-${'A'.repeat(43)}`]) {
      expect(await refusal((await clientOf(node, wrong)).models.list())).toEqual([401, 'invalid_api_key'])
    }
    const { gateway = '' } = await node.status()
    const statusOf = async (path: string): Promise<number> =>
      (await fetch(gateway.replace('0.0.0.0', '127.0.0.1') + path)).status
    expect([await statusOf('/metrics'), await statusOf('/nowhere')]).toEqual([401, 401])
    expect([await statusOf('/healthz'), await statusOf('/readyz')]).toEqual([200, 200]) // probes have none
    const client = await clientOf(node, await createKey(home, 'ci'))
    await waitFor(async () => (await client.models.list()).data.length === 2, { what: 'the models of the swarm' })
    const answer = await client.chat.completions.create({ model: 'tiny', ...SHORT })
    expect(answer.usage?.completion_tokens).toBe(4)
    await succeed(home, ['key', 'revoke', 'ci'])
    expect(await refusal(client.models.list())).toEqual([401, 'invalid_api_key'])
  })

  it('a key is over at its time', async () => {
    const client = await clientOf(node, await createKey(home, 'short', '--expires', '5s'))
    expect((await client.models.list()).data).toHaveLength(2)
    await expect.poll(async () => refusal(client.models.list()), { timeout: 20_000 }).toEqual([401, 'invalid_api_key'])
    const keys = await home.json<{ name: string; expired: boolean }[]>(['key', 'list'])
    expect(keys.map(({ name, expired }) => [name, expired])).toEqual([
      ['first', false],
      ['short', true]
    ])
  })

  it('secrets are in no file and in no log, and files are for their owner only', async () => {
    const { stdout, stderr } = node.output()
    expect(stderr).toContain('"request"')
    const texts = [stdout, stderr]
    for (const { path } of [home, mesh.node(0).home]) {
      for (const entry of await readdir(path, { recursive: true, withFileTypes: true })) {
        const file = join(entry.parentPath, entry.name)
        if (!entry.isFile()) continue
        if (entry.name.startsWith('key') || entry.parentPath.endsWith('keys')) {
          expect((await stat(file)).mode & 0o777).toBe(0o600)
        }
        texts.push(await readFile(file, 'latin1'))
      }
    }
    expect(secrets.length).toBeGreaterThan(5)
    for (const secret of secrets) {
      expect(texts.some(text => text.includes(secret.slice('flambeau-'.length)))).toBe(false)
    }
  })
})

it('commands at the same time lose no key', async () => {
  await using home = await flambeauHome()
  const names = Array.from({ length: 6 }, (_, i) => `key-${i}`)
  const ends = await Promise.all(
    [...names, ...names.slice(0, 2)].map(name => home.run(['key', 'create', '--name', name]))
  )
  expect(ends.map(({ code }) => code).sort()).toEqual([0, 0, 0, 0, 0, 0, 2, 2])
  const keys = await home.json<{ name: string }[]>(['key', 'list'])
  expect(keys.map(({ name }) => name)).toEqual(names)
})
