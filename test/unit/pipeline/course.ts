import { answer } from '../../../node/pipeline/answer.js'
import { RingSession } from '../../../node/pipeline/ring-session.js'
import type { SessionPlan } from '../../../node/pipeline/session-types.js'
import { greedyAnswer } from './layer-engine.js'
import { LAYERS, ToyMesh } from './toy-mesh.js'
import { GREEDY } from './greedy.js'

export const PROMPT = Array.from({ length: 200 }, (_, i) => (11 * i) % 61)
export const TOKENS = 24
const NO_END = { bytesOf: () => new Uint8Array(0), isEndOfGeneration: () => false }

/** Three stages with two holders each. */
export const PAIRS: Record<string, [number, number]> = {
  ...{ a: [0, 2], b: [2, 4], c: [4, 6] },
  ...{ aa: [0, 2], bb: [2, 4], cc: [4, 6] }
}
export const ROUTE = ['a', 'b', 'c']

/** Meshes of nodes by name, each with layers `[start, end)`; all of them end with `stop`. */
export class Meshes {
  readonly #meshes: ToyMesh[] = []

  readonly of = async (nodes: Record<string, [number, number]>): Promise<ToyMesh> => {
    const mesh = new ToyMesh()
    this.#meshes.push(mesh)
    for (const [peer, [start, end]] of Object.entries(nodes)) await mesh.add(peer, { range: { start, end } })
    return mesh
  }

  stop(): void {
    for (const mesh of this.#meshes.splice(0)) mesh.stop()
  }
}

interface Asked {
  route?: readonly string[]
  plan?: Partial<SessionPlan>
  sampling?: typeof GREEDY
  tokens?: number
  /** After so many tokens; before the first one: 0. */
  at?: Record<number, () => unknown>
}

/** The tokens of an answer in the course of which things happen. */
export async function answerWhile(
  mesh: ToyMesh,
  { route = ROUTE, plan = {}, sampling = GREEDY, tokens: maxTokens = TOKENS, at = {} }: Asked
) {
  const session = await RingSession.open(mesh.parts(route), mesh.plan({ context: 480, ...plan }), {
    signal: new AbortController().signal
  })
  const options = { prompt: Uint32Array.from(PROMPT), stages: 3, sampling, stop: [], maxTokens, context: 512 }
  const tokens: number[] = []
  try {
    await at[0]?.()
    for await (const event of answer(session, NO_END, options)) {
      if (event.type !== 'token') continue
      tokens.push(event.token)
      await at[tokens.length]?.()
    }
    return { tokens, stages: session.stages.map(({ peer }) => peer), links: session.links }
  } finally {
    session.close()
  }
}

/** What it is without them. */
export const undisturbed = async (tokens = TOKENS): Promise<number[]> => greedyAnswer(PROMPT, LAYERS, tokens)
