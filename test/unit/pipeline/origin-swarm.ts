/** An origin in a swarm of toy nodes. Whoever imports this has them stopped after each test. */
import { afterEach, expect, vi } from 'vitest'
import type { GenerateEvent, GenerateRequest } from '../../../node/control/contract.js'
import { EngineError } from '../../../node/engine/errors.js'
import type { Constraint, Tokenizer } from '../../../node/engine/types.js'
import type { Manifest } from '../../../node/models/types.js'
import { Origin } from '../../../node/pipeline/origin.js'
import { TokenizerCache } from '../../../node/pipeline/tokenizer-cache.js'
import type { MissingLayers, NodeView } from '../../../node/swarm/types.js'
import { VOCABULARY } from './layer-engine.js'
import { held, nodeView, shard } from './swarm-views.js'
import { LAYERS, MANIFEST, ORIGIN, ToyMesh } from './toy-mesh.js'

export const CONTEXT = 200
export const PROMPT = 'some words to go on with'

/** Tokens are UTF-8 bytes, shifted so that they fit the toy vocabulary. */
export class ToyTokenizer implements Tokenizer {
  readonly vocabulary = VOCABULARY
  readonly hasChatTemplate = true
  readonly toolFormat = undefined
  readonly toolMarks = new Map<number, string>()
  isLost = false
  closed = false
  beforeTokenize: () => unknown = () => undefined

  async tokenize(text: string): Promise<Uint32Array> {
    await this.beforeTokenize()
    return Uint32Array.from(Buffer.from(text), byte => byte % VOCABULARY)
  }

  bytesOf(token: number): Uint8Array {
    return Uint8Array.of(48 + token)
  }

  isEndOfGeneration(): boolean {
    return false
  }

  renderChat(messages: { content: string }[]): Promise<string> {
    return Promise.resolve(`<${messages.map(({ content }) => content).join('|')}>`)
  }

  constrain(): Promise<Constraint> {
    return Promise.reject(new EngineError('BAD_SCHEMA', 'toys know none'))
  }

  close(): Promise<void> {
    this.closed = true
    return Promise.resolve()
  }
}

const meshes: ToyMesh[] = []
const origins: Origin[] = []
afterEach(() => {
  for (const mesh of meshes.splice(0)) mesh.stop()
  for (const origin of origins.splice(0)) origin.stop()
})

/** An origin and nodes with these ranges; its directory shows what they serve. */
export async function swarm(ranges: Record<string, [number, number]>) {
  const mesh = new ToyMesh()
  meshes.push(mesh)
  for (const [peer, [start, end]] of Object.entries(ranges)) await mesh.add(peer, { range: { start, end } })
  const views = Object.entries(ranges).map(([peer, [start, end]]) =>
    nodeView(peer, [held({ shards: [shard(start, end)] })], { path: peer === ORIGIN ? 'self' : 'direct' })
  )
  const directory = {
    views,
    refreshes: 0,
    onRefresh: (): NodeView[] => directory.views,
    nodes: () => directory.views,
    missing: undefined as MissingLayers | undefined,
    refresh: ({ missing }: { missing?: MissingLayers } = {}) => {
      directory.missing = missing
      directory.refreshes++
      directory.views = directory.onRefresh()
      return Promise.resolve()
    },
    addEventListener: () => undefined,
    removeEventListener: () => undefined
  }
  const manifest = { name: 'Toy', layers: LAYERS, cuts: [1, 2, 3, 4, 5], vocabulary: VOCABULARY, context: CONTEXT }
  const stored = {
    id: MANIFEST,
    manifest: manifest as Manifest,
    sourceFile: undefined,
    shards: [],
    headerFile: 'header'
  }
  const tokenizers: ToyTokenizer[] = []
  const cache = new TokenizerCache({
    openTokenizer: () => {
      const tokenizer = new ToyTokenizer()
      tokenizers.push(tokenizer)
      return Promise.resolve(tokenizer)
    }
  })
  const library = { header: () => Promise.resolve(stored) }
  const origin = new Origin({ directory, library, tokenizers: cache, session: mesh.parts([]) })
  origins.push(origin)
  return { mesh, directory, origin, tokenizers }
}

export const request = (changes: Partial<GenerateRequest> = {}): GenerateRequest => {
  const sampling = { temperature: 0, maxTokens: 8, ...changes.sampling }
  return { model: 'toy', prompt: PROMPT, raw: true, ...changes, sampling }
}

export async function eventsOf(origin: Origin, asked: GenerateRequest, signal = new AbortController().signal) {
  const events: GenerateEvent[] = []
  for await (const event of origin.generate(asked, { signal })) events.push(event)
  return events
}

/** Once nothing is kept for a next turn. */
export async function idle(mesh: ToyMesh): Promise<void> {
  for (const origin of origins) origin.stop()
  await vi.waitFor(() => expect(mesh.idle).toBe(true), { timeout: 5_000, interval: 5 })
}

export const HALVES: Record<string, [number, number]> = { a: [0, 3], b: [3, 6] }
