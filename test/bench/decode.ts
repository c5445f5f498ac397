/**
 * Decode speed of two node processes on loopback, one of them the origin, against the whole model in one engine process on the same machine in
 * the same run, in turn: tokens per second as a ratio, and what a hop costs outside of compute.
 */
import { parseArgs } from 'node:util'
import { EngineProcess } from '../../node/engine/engine.js'
import { RingSession } from '../../node/pipeline/ring-session.js'
import { ENGINE_CHILD } from '../support/engine.js'
import { median, quantile, spread } from './statistics.js'
import { syntheticModel } from './synthetic-model.js'
import { twoNodes, type TwoNodes } from './two-nodes.js'

const ignore = (): void => undefined
const SILENT = { debug: ignore, info: ignore, warn: ignore, error: ignore }
/** One on the origin's own node, one on the other. */
const STAGES = 2
const GREEDY = { rows: 1, candidates: 1, ids: [], logSumExp: false }
const PROMPT = 32
/** Tokens of each turn that do not count. */
const SETTLING = 4
const CONTEXT = 2_048
/** Tokens of one answer while warming up: within the context. */
const WARM_UP_TURN = 250

/** Milliseconds of one token. */
interface Token {
  elapsed: number
  computed: number
}

/** Decodes `tokens` tokens after a prompt, greedily. */
type Turn = (tokens: number) => Promise<Token[]>

/** Options with their defaults. */
export const usage = `--shape 0.5b|1b|3b|8b (1b) or --model FILE, --rounds N (7), --tokens N (64), --warm-up TOKENS (1000), --threads N (2),
  --dtype f16|f32 (f16), --json`

export async function bench(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      shape: { type: 'string', default: '1b' },
      model: { type: 'string' },
      rounds: { type: 'string', default: '7' },
      tokens: { type: 'string', default: '64' },
      'warm-up': { type: 'string', default: '1000' },
      threads: { type: 'string', default: '2' },
      dtype: { type: 'string', default: 'f16' },
      json: { type: 'boolean', default: false }
    }
  })
  const file = values.model ?? (await syntheticModel(values.shape))
  const threads = Number(values.threads)
  const dtype = values.dtype === 'f32' ? 'f32' : 'f16'
  const { layers } = await layersOf(file)
  await using nodes = await twoNodes({ file, cut: layers >> 1, threads, context: CONTEXT })
  await using whole = await wholeModel(nodes, file, threads)
  const mesh = meshTurn(nodes, dtype)
  await warmUp([mesh, whole.turn], Number(values['warm-up']))
  const ratios: number[] = []
  const meshTokens: Token[] = []
  const wholeTokens: Token[] = []
  for (let round = 0; round < Number(values.rounds); round++) {
    const a = await mesh(Number(values.tokens))
    const b = await whole.turn(Number(values.tokens))
    ratios.push(median(b.map(elapsed)) / median(a.map(elapsed)))
    meshTokens.push(...a)
    wholeTokens.push(...b)
  }
  // The first stage is on the origin's own node: one way to each further stage, and one back.
  const hops = STAGES
  const hop = meshTokens.map(({ elapsed, computed }) => (elapsed - computed) / hops)
  const result = {
    model: nodes.manifest.name,
    layers: `0-${layers >> 1}-${layers}`,
    ...{ threads, dtype, rounds: ratios.length, tokens: Number(values.tokens) },
    ratio: ratios,
    meshTokensPerSecond: 1_000 / median(meshTokens.map(elapsed)),
    wholeTokensPerSecond: 1_000 / median(wholeTokens.map(elapsed)),
    hopMs: { p50: quantile(hop, 0.5), p99: quantile(hop, 0.99) },
    computeMs: { mesh: median(meshTokens.map(t => t.computed)), whole: median(wholeTokens.map(t => t.computed)) }
  }
  if (values.json) console.log(JSON.stringify(result))
  else print(result)
}

/** A node that has just started runs code that V8 has not compiled yet; a daemon has run for days. */
async function warmUp(turns: Turn[], tokens: number): Promise<void> {
  for (let done = 0; done < tokens; done += WARM_UP_TURN) {
    for (const turn of turns) await turn(WARM_UP_TURN)
  }
}

const elapsed = (token: Token): number => token.elapsed

function print(result: {
  model: string
  layers: string
  threads: number
  dtype: string
  rounds: number
  tokens: number
  ratio: number[]
  meshTokensPerSecond: number
  wholeTokensPerSecond: number
  hopMs: { p50: number; p99: number }
  computeMs: { mesh: number; whole: number }
}): void {
  const { model, layers, threads, dtype, rounds, tokens, ratio, hopMs, computeMs } = result
  console.log(
    `${model}, cut ${layers}, ${threads} threads each, ${dtype} on the wire, ${rounds} turns of ${tokens} tokens`
  )
  console.log(
    `two nodes   ${result.meshTokensPerSecond.toFixed(1)} tokens/s, compute ${computeMs.mesh.toFixed(2)} ms a token`
  )
  console.log(
    `one engine  ${result.wholeTokensPerSecond.toFixed(1)} tokens/s, compute ${computeMs.whole.toFixed(2)} ms a token`
  )
  console.log(`ratio       ${spread(ratio, 3)}`)
  console.log(`a hop       p50 ${hopMs.p50.toFixed(2)} ms, p99 ${hopMs.p99.toFixed(2)} ms outside of compute`)
}

async function layersOf(file: string): Promise<{ layers: number }> {
  const { describeModel } = await import('../../node/models/description.js')
  const { readGguf } = await import('../../node/models/gguf.js')
  return describeModel(await readGguf(file))
}

function meshTurn({ id, manifest, session }: TwoNodes, dtype: 'f16' | 'f32'): Turn {
  return async tokens => {
    const { layers, vocabulary, width } = manifest
    const plan = { manifest: id, layers, vocabulary, width, context: CONTEXT / 2, dtype }
    const ring = await RingSession.open(session, plan, { signal: new AbortController().signal })
    try {
      return await greedily(tokens, manifest.vocabulary, async (ids, position) => {
        const { rows, timings } = await ring.step({ tokens: ids, position, want: GREEDY })
        return { next: rows[0]?.ids[0] ?? 0, computed: timings.reduce((sum, { computed }) => sum + computed, 0) }
      })
    } finally {
      ring.close()
    }
  }
}

async function wholeModel(
  { manifest }: TwoNodes,
  file: string,
  threads: number
): Promise<{ turn: Turn } & AsyncDisposable> {
  const { architecture, layers, vocabulary } = manifest
  const engine = new EngineProcess(
    { childModule: ENGINE_CHILD, logger: SILENT },
    { backend: 'cpu', threads, gpuLayers: 0 }
  )
  await engine.start()
  const settings = { context: CONTEXT, sequences: 8, batch: 512 }
  const { id: shard } = await engine.load({ file, architecture, start: 0, end: layers, layers }, settings)
  const turn: Turn = async tokens => {
    const answer = await greedily(tokens, vocabulary, async (ids, position) => {
      const step = { shard, sequence: 0, position, rows: ids.length, tokens: ids }
      const { candidates, computed } = await engine.step({ ...step, leave: layers, dtype: 'f32', want: GREEDY })
      return { next: candidates[0]?.ids[0] ?? 0, computed }
    })
    await engine.release(shard, 0)
    return answer
  }
  return { turn, [Symbol.asyncDispose]: async () => engine.stop() }
}

async function greedily(
  tokens: number,
  vocabulary: number,
  step: (ids: Uint32Array, position: number) => Promise<{ next: number; computed: number }>
): Promise<Token[]> {
  const prompt = Uint32Array.from({ length: PROMPT }, (_, i) => (i * 7_919) % vocabulary)
  let { next } = await step(prompt, 0)
  const measured: Token[] = []
  for (let i = 0; i < tokens + SETTLING; i++) {
    const sent = performance.now()
    const answer = await step(Uint32Array.of(next), PROMPT + i)
    if (i >= SETTLING) measured.push({ elapsed: performance.now() - sent, computed: answer.computed })
    next = answer.next
  }
  return measured
}
