import { writeFile } from 'node:fs/promises'
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { EngineError } from '../../../node/engine/errors.js'
import type { Constraint, Tokenizer } from '../../../node/engine/types.js'
import type { Manifest } from '../../../node/models/types.js'
import { SESSION_POSITIONS } from '../../../node/pipeline/embedding-input.js'
import type { EmbedEvent, EmbedRequest } from '../../../node/pipeline/embedding-types.js'
import { Origin } from '../../../node/pipeline/origin.js'
import { TokenizerCache } from '../../../node/pipeline/tokenizer-cache.js'
import { unitVector } from '../../../node/pipeline/vector.js'
import { ggufBytes } from '../../support/gguf-writer.js'
import { temporaryFolder, type TemporaryFolder } from '../../support/temporary.js'
import { lastState, VOCABULARY, WIDTH } from './layer-engine.js'
import { held, nodeView, shard } from './swarm-views.js'
import { LAYERS, MANIFEST, ToyMesh } from './toy-mesh.js'

const CONTEXT = 200
const LAST = 3
const MEAN = 1
/** One of several chunks, one of a token, and one that is like another. */
const TEXTS = [
  'some words to go on with, and a few more of them than fit into the smallest chunk',
  'x',
  'some words',
  'x'
]

const tokensOf = (text: string): number[] => Array.from(Buffer.from(text), byte => byte % VOCABULARY)

const tokenizer: Tokenizer = {
  ...{ vocabulary: VOCABULARY, hasChatTemplate: false, toolFormat: undefined, toolMarks: new Map(), isLost: false },
  tokenize: text => Promise.resolve(Uint32Array.from(tokensOf(text))),
  bytesOf: token => {
    if (token >= VOCABULARY) throw new EngineError('UNKNOWN_TOKEN', 'no such token')
    return new Uint8Array(1)
  },
  isEndOfGeneration: () => false,
  renderChat: () => Promise.reject<string>(new EngineError('NO_TEMPLATE', 'none')),
  constrain: () => Promise.reject<Constraint>(new EngineError('BAD_SCHEMA', 'none')),
  close: () => Promise.resolve()
}

const meshes: ToyMesh[] = []
let folder: TemporaryFolder

beforeAll(async () => {
  folder = await temporaryFolder()
  for (const pooling of [LAST, MEAN]) {
    const metadata = new Map([
      ['general.architecture', { type: 'string', value: 'toy' } as const],
      ['toy.pooling_type', { type: 'u32', value: pooling } as const]
    ])
    await writeFile(folder.file(`${pooling}.gguf`), ggufBytes(metadata, []))
  }
})
afterAll(async () => folder.remove())
afterEach(() => {
  for (const mesh of meshes.splice(0)) mesh.stop()
})

/** An origin and nodes with these ranges; its directory shows what they serve. */
async function swarm(ranges: Record<string, [number, number]>, pooling = LAST) {
  const mesh = new ToyMesh()
  meshes.push(mesh)
  for (const [peer, [start, end]] of Object.entries(ranges)) await mesh.add(peer, { range: { start, end } })
  const views = Object.entries(ranges).map(([peer, [start, end]]) =>
    nodeView(peer, [held({ shards: [shard(start, end)] })])
  )
  const directory = {
    nodes: () => views,
    refresh: () => Promise.resolve(),
    addEventListener: () => undefined,
    removeEventListener: () => undefined
  }
  const facts = {
    name: 'Toy',
    layers: LAYERS,
    cuts: [1, 2, 3, 4, 5],
    vocabulary: VOCABULARY,
    width: WIDTH,
    context: CONTEXT
  }
  const stored = { id: MANIFEST, manifest: facts as unknown as Manifest, sourceFile: undefined, shards: [] }
  const library = { header: () => Promise.resolve({ ...stored, headerFile: folder.file(`${pooling}.gguf`) }) }
  const tokenizers = new TokenizerCache({ openTokenizer: () => Promise.resolve(tokenizer) })
  const origin = new Origin({ directory, library, tokenizers, session: mesh.parts([]) })
  return { mesh, origin }
}

const HALVES: Record<string, [number, number]> = { a: [0, 3], b: [3, 6] }

async function eventsOf(origin: Origin, request: Partial<EmbedRequest>): Promise<EmbedEvent[]> {
  const events: EmbedEvent[] = []
  const { signal } = new AbortController()
  for await (const event of origin.embed({ model: 'toy', input: TEXTS, ...request }, { signal })) events.push(event)
  return events
}

const vectorsOf = (events: readonly EmbedEvent[]): Float32Array[] =>
  events.flatMap(event => (event.event === 'vectors' ? event.vectors : []))

async function expected(texts: readonly string[], dimensions = WIDTH): Promise<Float32Array[]> {
  const states = await Promise.all(texts.map(text => lastState(tokensOf(text), LAYERS)))
  return states.map(state => unitVector(state, dimensions))
}

const idle = async (mesh: ToyMesh): Promise<void> =>
  vi.waitFor(() => expect(mesh.idle).toBe(true), { timeout: 5_000, interval: 5 })

describe('Origin.embed', () => {
  it('has the directions of the last states of the whole model, in the order of the texts', async () => {
    const { mesh, origin } = await swarm({ a: [0, 2], b: [2, 4], c: [4, 6] })
    const events = await eventsOf(origin, {})
    expect(events.map(({ event }) => event)).toEqual(['route', 'vectors'])
    expect(events[0]).toMatchObject({
      promptTokens: TEXTS.join('').length,
      stages: [{ peer: 'a' }, { peer: 'b' }, { peer: 'c', link: 'origin' }]
    })
    expect(vectorsOf(events)).toEqual(await expected(TEXTS))
    await idle(mesh)
    expect([...mesh.nodes.values()].map(({ engine }) => engine.released.length)).toEqual([1, 1, 1])
    expect(origin.answering).toBe(0)
  })

  it('takes another session where there is much, and tells of the route once', async () => {
    const { mesh, origin } = await swarm({ a: [0, 6] })
    const input = Array.from({ length: 1 + Math.ceil(SESSION_POSITIONS / CONTEXT) }, (_, i) =>
      String.fromCharCode(97 + (i % 26)).repeat(CONTEXT)
    )
    const events = await eventsOf(origin, { input })
    expect(events.map(({ event }) => event)).toEqual(['route', 'vectors'])
    expect(events[0]).toMatchObject({ promptTokens: input.length * CONTEXT })
    expect(vectorsOf(events)).toEqual(await expected(input))
    await idle(mesh)
    expect(mesh.node('a').engine.released).toHaveLength(2)
  })

  it('asks only the last step of a text for an embedding', async () => {
    const { mesh, origin } = await swarm(HALVES)
    await eventsOf(origin, {})
    const asked = mesh.node('b').engine.steps.map(({ rows, want }) => [rows, want.rows, want.embedding ?? false])
    expect(asked).toEqual([
      [41, 0, false],
      [40, 1, true],
      [1, 1, true],
      [10, 1, true],
      [1, 1, true]
    ])
  })

  it('takes token ids as they are', async () => {
    const { origin } = await swarm(HALVES)
    const events = await eventsOf(origin, { input: TEXTS.map(tokensOf) })
    expect(vectorsOf(events)).toEqual(await expected(TEXTS))
    await expect(eventsOf(origin, { input: [[VOCABULARY]] })).rejects.toMatchObject({ code: 'UNKNOWN_TOKEN' })
  })

  it('cuts the vectors to the dimensions that are wanted', async () => {
    const { origin } = await swarm(HALVES)
    expect(vectorsOf(await eventsOf(origin, { dimensions: 2 }))).toEqual(await expected(TEXTS, 2))
  })

  it('begins again in f32 where a hidden state is too large for f16, unless f16 was asked for', async () => {
    const { mesh, origin } = await swarm(HALVES)
    mesh.node('a').engine.beforeStep = ({ dtype, rows }) => {
      if (dtype === 'f16' && rows === 10) throw new EngineError('F16_OVERFLOW', 'too large')
    }
    const events = await eventsOf(origin, {})
    expect(events.map(({ event }) => event)).toEqual(['route', 'route', 'vectors'])
    expect(vectorsOf(events)).toEqual(await expected(TEXTS))
    await expect(eventsOf(origin, { dtype: 'f16' })).rejects.toMatchObject({ details: { status: 'OUT_OF_RANGE' } })
    await idle(mesh)
  })

  it('goes on with others where a stage is lost between two texts', async () => {
    const { mesh, origin } = await swarm({ ...HALVES, bb: [3, 6] })
    let lost = false
    for (const peer of ['b', 'bb']) {
      mesh.node(peer).engine.beforeStep = ({ rows }) => {
        if (lost || rows !== 10) return
        lost = true
        mesh.kill(peer)
      }
    }
    const events = await eventsOf(origin, {})
    expect(events.map(({ event }) => event)).toEqual(['route', 'reroute', 'vectors'])
    expect(vectorsOf(events)).toEqual(await expected(TEXTS))
  })

  it.each([
    ['NO_EMBEDDINGS', {}, MEAN],
    ['UNKNOWN_MODEL', { model: 'nothing' }, LAST],
    ['CONTEXT_EXCEEDED', { input: ['x', 'x'.repeat(CONTEXT + 1)] }, LAST],
    ['EMPTY_PROMPT', { input: ['x', ''] }, LAST],
    ['TOO_MANY_DIMENSIONS', { dimensions: WIDTH + 1 }, LAST]
  ] as const)('rejects with %s before any stage is asked', async (code, request, pooling) => {
    const { origin, mesh } = await swarm(HALVES, pooling)
    // Twice: what is known of a model is remembered.
    for (let i = 0; i < 2; i++) await expect(eventsOf(origin, request)).rejects.toMatchObject({ code })
    expect([origin.answering, mesh.streams.length]).toEqual([0, 0])
  })

  it('takes a text as long as the context', async () => {
    const { origin } = await swarm(HALVES)
    const text = 'y'.repeat(CONTEXT)
    expect(vectorsOf(await eventsOf(origin, { input: [text] }))).toEqual(await expected([text]))
  })

  it('frees every stage when its signal aborts, and when the reader leaves', async () => {
    const { origin, mesh } = await swarm(HALVES)
    const gate = Promise.withResolvers<undefined>()
    mesh.node('b').engine.beforeStep = () => gate.promise
    const controller = new AbortController()
    const events = origin.embed({ model: 'toy', input: TEXTS }, controller)
    await events.next()
    const next = events.next()
    await vi.waitFor(() => expect(mesh.node('b').engine.steps).toHaveLength(1))
    controller.abort()
    await expect(next).rejects.toMatchObject({ code: 'CANCELLED' })
    gate.resolve(undefined)
    await idle(mesh)
    for await (const { event } of origin.embed({ model: 'toy', input: TEXTS }, new AbortController())) {
      if (event === 'route') break
    }
    await idle(mesh)
    expect(origin.answering).toBe(0)
  })
})
