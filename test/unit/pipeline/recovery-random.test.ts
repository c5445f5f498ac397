import fc from 'fast-check'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { RELAY_PROTOCOL } from '../../../protocol/ids.js'
import { answer } from '../../../node/pipeline/answer.js'
import { RingSession } from '../../../node/pipeline/ring-session.js'
import { greedyAnswer } from './layer-engine.js'
import { LAYERS, ORIGIN, ToyMesh } from './toy-mesh.js'
import { GREEDY } from './greedy.js'

const PROMPT = Array.from({ length: 100 }, (_, i) => (11 * i) % 61)
const TOKENS = 40
const NO_END = { bytesOf: () => new Uint8Array(0), isEndOfGeneration: () => false }
/** Milliseconds: nothing here waits for a peer that does not answer. */
const LIMIT = 20_000

/** Three parts with three holders each, one of them that of the origin, and one that has two parts. */
const NODES: Record<string, [number, number]> = {
  ...{ a: [0, 2], b: [2, 4], c: [4, 6] },
  ...{ aa: [0, 2], bb: [2, 4], cc: [4, 6] },
  ...{ [ORIGIN]: [0, 2], bbb: [2, 4], wide: [2, 6] }
}
const PEERS = Object.keys(NODES).filter(peer => peer !== ORIGIN)

const DISTURBANCES = ['kill', 'drain', 'blink', 'cut', 'forget', 'crash', 'part'] as const
interface Disturbance {
  at: number
  what: (typeof DISTURBANCES)[number]
  peer: string
  other: string
}

const disturbance = fc.record<Disturbance>({
  at: fc.integer({ min: 0, max: TOKENS - 1 }),
  what: fc.constantFrom(...DISTURBANCES),
  peer: fc.constantFrom(...PEERS),
  other: fc.constantFrom(...PEERS)
})

const meshes: ToyMesh[] = []
afterEach(() => {
  for (const mesh of meshes.splice(0)) mesh.stop()
})

/** What is done to nodes; those that are gone for good are counted, and always leave enough. */
class Disturber {
  readonly #mesh: ToyMesh
  readonly #gone = new Set<string>()
  readonly #apart = new Set<string>()

  constructor(mesh: ToyMesh) {
    this.#mesh = mesh
    mesh.unreachable = ({ from, to, protocol }) => protocol === RELAY_PROTOCOL && this.#apart.has(`${from} ${to}`)
  }

  disturb({ what, peer, other }: Disturbance): void {
    if (this.#gone.has(peer)) return
    const mesh = this.#mesh
    switch (what) {
      case 'kill':
        if (this.#take(peer)) mesh.kill(peer)
        return
      case 'crash':
        if (this.#take(peer)) mesh.node(peer).engine.crash()
        return
      case 'drain':
        if (!this.#take(peer)) return
        mesh.hidden.add(peer)
        void mesh.node(peer).host.drain({ deadlineMs: 60_000 })
        return
      case 'forget':
        mesh.forget(peer)
        return
      case 'part':
        this.#apart.add(`${peer} ${other}`).add(`${other} ${peer}`)
        this.#cut(stream => this.#apart.has(`${stream.from} ${stream.to}`))
        return
      case 'cut':
        this.#cut(({ from, to }) => (from === peer && to === other) || (from === other && to === peer))
        return
      case 'blink':
        this.#cut(({ from, to }) => from === peer || to === peer)
    }
  }

  #take(peer: string): boolean {
    const left = Object.entries(NODES).filter(([name]) => name !== peer && !this.#gone.has(name))
    const enough = left.some(([, [start]]) => start === 0) && isTail(left)
    if (enough) this.#gone.add(peer)
    return enough
  }

  #cut(which: (stream: { from: string; to: string }) => boolean): void {
    for (const stream of this.#mesh.streams) {
      if (which(stream)) for (const end of [stream.near, stream.far]) end.abort(new Error('cut'))
    }
  }
}

/** Layers 2 to 6. */
function isTail(nodes: [string, [number, number]][]): boolean {
  const has = (from: number, to: number): boolean => nodes.some(([, [start, end]]) => start === from && end >= to)
  return has(2, 6) || (has(2, 4) && has(4, 6))
}

async function answerUnder(disturbances: readonly Disturbance[], exactReplay: boolean): Promise<number[]> {
  const mesh = new ToyMesh()
  meshes.push(mesh)
  for (const [peer, [start, end]] of Object.entries(NODES)) await mesh.add(peer, { range: { start, end } })
  const disturber = new Disturber(mesh)
  const controller = new AbortController()
  const timer = setTimeout(() => controller.abort(new Error('it is stuck')), LIMIT)
  const session = await RingSession.open(
    mesh.parts(['a', 'b', 'c']),
    mesh.plan({ context: 480, exactReplay }),
    controller
  )
  controller.signal.addEventListener('abort', () => session.close())
  const options = {
    prompt: Uint32Array.from(PROMPT),
    stages: 3,
    sampling: GREEDY,
    stop: [],
    maxTokens: TOKENS,
    context: 512
  }
  const tokens: number[] = []
  try {
    const disturb = (): void => {
      for (const one of disturbances) if (one.at === tokens.length) disturber.disturb(one)
    }
    disturb()
    for await (const event of answer(session, NO_END, options)) {
      if (event.type !== 'token') continue
      tokens.push(event.token)
      disturb()
    }
  } finally {
    clearTimeout(timer)
    session.close()
  }
  await vi.waitFor(() => expect(mesh.idle).toBe(true), { timeout: 5_000 })
  mesh.stop()
  return tokens
}

describe('an answer while anything happens to its stages that leaves enough of them', () => {
  it('has the tokens of one that is not disturbed', { timeout: 300_000 }, async () => {
    const expected = greedyAnswer(PROMPT, LAYERS, TOKENS)
    await fc.assert(
      fc.asyncProperty(fc.array(disturbance, { maxLength: 12 }), fc.boolean(), async (disturbances, exact) => {
        expect(await answerUnder(disturbances, exact)).toEqual(await expected)
      }),
      { numRuns: Number(process.env['RUNS'] ?? 40) }
    )
  })
})
