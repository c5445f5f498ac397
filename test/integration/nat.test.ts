import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Answer } from '../../cli/answer.js'
import type { PeerView } from '../../node/control/contract.js'
import { Internet } from '../support/internet.js'
import type { FlambeauHome } from '../support/flambeau-process.js'
import { type Mesh, startMesh } from '../support/mesh.js'
import { temporaryFolder } from '../support/temporary.js'
import { writeTinyModel } from '../support/tiny-model.js'
import { waitFor } from '../support/wait-for.js'
import { wholeModel } from '../support/whole-model.js'

/** Milliseconds in which nodes find relays, ports and paths: they look every 15 s. */
const LIMIT = 90_000
const REQUEST = { model: 'tiny', prompt: 'the', sampling: { temperature: 0, maxTokens: 8 }, dtype: 'f32' } as const
const RUN = ['run', 'tiny', '--temperature', '0', '--max-tokens', '8', '--dtype', 'f32', 'the']

const obstacle = await Internet.obstacle()

describe.skipIf(obstacle !== undefined)(`on an internet with routers ${obstacle ?? ''}`, () => {
  /** What a start that failed has opened is closed too. */
  const opened: AsyncDisposable[] = []
  let internet: Internet
  let mesh: Mesh
  /** Runs no node. */
  let visitor: FlambeauHome
  let expected: number[]

  beforeAll(async () => {
    const folder = await temporaryFolder()
    opened.push({ [Symbol.asyncDispose]: () => folder.remove() })
    internet = await Internet.start()
    opened.push(internet)
    const { file } = await writeTinyModel(folder.file('tiny.gguf'), { architecture: 'qwen3' })
    await using whole = await wholeModel(file)
    expected = await whole.answer(REQUEST, 3)
    mesh = await startMesh({
      nodes: [
        { layers: '0-3', host: await internet.host() },
        { layers: '3-6', host: await internet.hostBehindRouter() },
        { layers: '6-8', host: await internet.hostBehindRouter() }
      ],
      models: [{ file, name: 'tiny' }]
    })
    opened.push(mesh)
    visitor = await mesh.member(await internet.host())
  })

  afterAll(async () => {
    for (const one of opened.reverse()) await one[Symbol.asyncDispose]()
  })

  const paths = async (home: FlambeauHome): Promise<Record<string, string>> => {
    const peers = await home.json<PeerView[]>(['peers'])
    return Object.fromEntries(peers.map(({ name, path }) => [name, path]))
  }
  const addressesOf = async (index: number): Promise<string[]> => (await mesh.node(index).service.status()).addresses

  it('the first node with a public address is found by its invitation', async () => {
    expect(await addressesOf(0)).toEqual([expect.stringMatching(/^\/ip4\/45\./)])
    expect(await paths(visitor)).toMatchObject({ 'node-0': 'direct' })
  })

  it('two nodes behind routers, which cannot reach each other, send their hidden states through the origin', async () => {
    expect(await paths(mesh.node(1).home)).toEqual({ 'node-0': 'direct', 'node-1': 'self', 'node-2': 'unconnected' })
    const { tokens, route } = await mesh.ask(0, REQUEST)
    expect(tokens).toEqual(expected)
    expect(route.map(({ link }) => link)).toEqual(['direct', 'star', 'origin'])
  })

  it('whoever cannot reach a node is told its name and what helps', async () => {
    const { code, stderr } = await visitor.run(RUN)
    expect(stderr).toMatch(/layers (3-6|6-8|3-8).* node-[12].* cannot be reached.*--relay/)
    expect(code).toBe(5)
  })

  it('everybody is reached once a member with a public address relays', async () => {
    mesh.node(0).process.kill('SIGTERM')
    await mesh.restart(0, ['--relay'])
    for (const index of [1, 2]) {
      const isRelayed = async (): Promise<boolean> => (await addressesOf(index)).some(a => a.includes('/p2p-circuit/'))
      await waitFor(isRelayed, { what: `node ${index} to have a relay`, limit: LIMIT, interval: 200 })
    }
    const answer = await waitFor(async () => visitor.json<Answer>(RUN), { what: 'an answer', limit: LIMIT })
    expect(answer.tokens).toEqual(expected)
    expect(answer.route.map(({ link }) => link)).toEqual(['direct', 'direct', 'origin'])
    expect(await paths(visitor)).toMatchObject({ 'node-0': 'direct', 'node-1': 'relayed', 'node-2': 'relayed' })
  })

  it('a node whose router forwards its port is reached directly, also by those who met it through a relay', async () => {
    const host = await internet.hostBehindRouter({ upnp: true })
    await mesh.add({ layers: '6-8', host, upnp: true })
    await waitFor(async () => (await addressesOf(3)).some(address => address.startsWith('/ip4/45.')), {
      ...{ what: 'the router to forward the port', limit: LIMIT, interval: 200 }
    })
    // Also the visitor meets it through the relay as long as nobody has told the visitor's neighbours of the port.
    for (const home of [mesh.node(1).home, visitor]) {
      const isDirect = async (): Promise<boolean> => (await paths(home))['node-3'] === 'direct'
      await waitFor(isDirect, { what: 'a direct path', limit: LIMIT, interval: 500 })
      expect(await paths(home)).toMatchObject({ 'node-2': 'relayed' })
    }
  })
})
