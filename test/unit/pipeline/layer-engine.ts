import { EngineError } from '../../../node/engine/errors.js'
import { checkStep, type ShardShape } from '../../../node/engine/step-check.js'
import type {
  ContextSettings,
  Engine,
  EngineEvents,
  EngineInfo,
  EngineState,
  EngineStep,
  EngineStepResult,
  LoadedShard,
  RowCandidates,
  ShardFile
} from '../../../node/engine/types.js'
import { checkFinite, decodeHidden, encodeHidden } from '../../../protocol/hidden-states.js'

/** The toy model: small whole numbers all the way, so that f16 carries them exactly. */
export const WIDTH = 4
export const VOCABULARY = 61
const MODULUS = 251

const INFO: EngineInfo = { backend: 'cpu', version: 'toy', devices: [] }

interface Sequence {
  /** By position: the sums that each layer of the shard attends to. */
  past: number[][]
}

/**
 * An engine whose layers add up what they have seen of the sequence so far: whoever mixes up layers, positions, sequences
 * or sessions gets other numbers. Everything runs in the order of the calls.
 */
export class LayerEngine implements Engine {
  state: EngineState = 'ready'
  readonly info = INFO
  readonly pid = undefined
  /** What was asked of it, oldest first. */
  readonly steps: EngineStep[] = []
  readonly released: { shard: number; sequence: number }[] = []
  /** Called before each step that is not one of a calibration; what it returns is awaited, what it throws is the answer. */
  beforeStep: (step: EngineStep) => unknown = () => undefined
  beforeRelease: () => unknown = () => undefined
  beforeLoad: (file: ShardFile) => unknown = () => undefined
  /** Milliseconds that a step says it took. */
  times = { queued: 0, computed: 1 }
  readonly #events = new EventTarget()
  readonly #shards = new Map<number, { shape: ShardShape; sequences: Map<number, Sequence> }>()
  #queue: Promise<unknown> = Promise.resolve()
  #nextShard = 1
  #life = 1

  /** Sequences that hold something, over all shards. */
  get held(): number {
    return [...this.#shards.values()].reduce((sum, { sequences }) => sum + sequences.size, 0)
  }

  get loaded(): number {
    return this.#shards.size
  }

  start(): Promise<EngineInfo> {
    return Promise.resolve(INFO)
  }

  stop(): Promise<void> {
    this.state = 'stopped'
    return Promise.resolve()
  }

  async load(file: ShardFile, settings: ContextSettings): Promise<LoadedShard> {
    if (this.state !== 'ready') throw new EngineError('ENGINE_STOPPED', 'not ready')
    await this.beforeLoad(file)
    const id = this.#nextShard++
    const loaded = { id, width: WIDTH, vocabulary: VOCABULARY, ...settings }
    this.#shards.set(id, { shape: { ...loaded, ...file }, sequences: new Map() })
    return loaded
  }

  unload(shard: number): Promise<void> {
    if (this.#shards.delete(shard)) return Promise.resolve()
    return Promise.reject(new EngineError('UNKNOWN_SHARD', `no shard ${shard}`))
  }

  step(step: EngineStep): Promise<EngineStepResult> {
    const life = this.#life
    const result = this.#queue.then(async () => {
      this.steps.push(step)
      await this.beforeStep(step)
      if (life !== this.#life) throw new EngineError('ENGINE_LOST', 'the process ended')
      return this.#compute(step)
    })
    this.#queue = result.catch(() => undefined)
    return result
  }

  release(shard: number, sequence: number): Promise<void> {
    const result = this.#queue.then(async () => {
      await this.beforeRelease()
      this.released.push({ shard, sequence })
      this.#shards.get(shard)?.sequences.delete(sequence)
      if (this.state !== 'ready') throw new EngineError('ENGINE_STOPPED', 'not ready')
    })
    this.#queue = result.catch(() => undefined)
    return result
  }

  /** Dies: everything in it is forgotten. */
  crash(): void {
    this.#life++
    this.#shards.clear()
    this.state = 'restarting'
    this.#events.dispatchEvent(new CustomEvent('lost', { detail: { code: 1, signal: null, restartInMs: 1 } }))
  }

  revive(): void {
    this.state = 'ready'
    this.#events.dispatchEvent(new CustomEvent('ready', { detail: INFO }))
  }

  addEventListener<K extends keyof EngineEvents>(type: K, listener: (event: EngineEvents[K]) => void): void {
    this.#events.addEventListener(type, listener as (event: Event) => void)
  }

  removeEventListener<K extends keyof EngineEvents>(type: K, listener: (event: EngineEvents[K]) => void): void {
    this.#events.removeEventListener(type, listener as (event: Event) => void)
  }

  #compute(step: EngineStep): EngineStepResult {
    const shard = this.#shards.get(step.shard)
    if (shard === undefined) throw new EngineError('UNKNOWN_SHARD', `no shard ${step.shard}`)
    const { shape, sequences } = shard
    checkStep(step, shape)
    const rows = inputOf(step)
    const sequence = sequences.get(step.sequence) ?? { past: [] }
    if (step.position > sequence.past.length) throw new EngineError('POSITION_GAP', 'a gap')
    sequence.past.length = step.position
    sequences.set(step.sequence, sequence)
    const outputs = rows.map(row => throughLayers(row, sequence, shape, step.leave))
    if (step.leave < shape.layers) {
      const hidden = encodeHidden(Float32Array.from(outputs.flat()), step.dtype)
      return { hidden, candidates: [], ...this.times }
    }
    const wanted = step.want.rows === 0 ? [] : outputs.slice(-step.want.rows)
    return { hidden: undefined, candidates: wanted.map(row => candidatesOf(row, step)), ...this.times }
  }
}

function inputOf({ tokens, hidden, rows }: EngineStep): number[][] {
  if (tokens !== undefined) return Array.from(tokens, embed)
  if (hidden === undefined) throw new EngineError('BAD_STEP', 'nothing to run')
  try {
    checkFinite(hidden.bytes, hidden.dtype)
  } catch (cause) {
    throw new EngineError('NOT_FINITE', 'NaN or infinity', { cause })
  }
  const values = decodeHidden(hidden.bytes, hidden.dtype, rows, WIDTH)
  return Array.from({ length: rows }, (_, row) => Array.from(values.subarray(row * WIDTH, (row + 1) * WIDTH)))
}

const embed = (token: number): number[] => Array.from({ length: WIDTH }, (_, i) => ((token + 1) * (i + 3)) % MODULUS)

function throughLayers(input: number[], sequence: Sequence, shape: ShardShape, leave: number): number[] {
  const sums: number[] = []
  let row = input
  for (let layer = shape.start; layer < leave; layer++) {
    const index = layer - shape.start
    const before = sequence.past.at(-1)?.[index] ?? 0
    const sum = (before + row.reduce((a, b) => a + b, 0)) % MODULUS
    sums.push(sum)
    row = row.map((value, i) => (3 * value + sum + layer * (i + 1)) % MODULUS)
  }
  sequence.past.push(sums)
  return row
}

function candidatesOf(row: number[], { want }: EngineStep): RowCandidates {
  const favourite = row.reduce((sum, value, i) => sum + value * (i + 1), 0) % VOCABULARY
  const logit = (id: number): number => -Math.abs(id - favourite)
  const ranked = Array.from({ length: VOCABULARY }, (_, id) => id).sort((a, b) => logit(b) - logit(a) || a - b)
  const ids = [...ranked.slice(0, want.candidates), ...want.ids]
  const logSumExp = Math.log(ranked.reduce((sum, id) => sum + Math.exp(logit(id)), 0))
  return {
    ids: Uint32Array.from(ids),
    logits: Float32Array.from(ids, logit),
    logSumExp: want.logSumExp ? logSumExp : undefined,
    ...(want.embedding === true && { embedding: Float32Array.from(row) })
  }
}

/** The last hidden state of the whole model after this text, computed in one piece. */
export async function lastState(text: readonly number[], layers: number): Promise<Float32Array> {
  const engine = new LayerEngine()
  const file = { file: 'whole', architecture: 'toy', start: 0, end: layers, layers }
  const { id } = await engine.load(file, { context: 4_096, sequences: 1, batch: 4_096 })
  const want = { rows: 1, candidates: 0, ids: [], logSumExp: false, embedding: true }
  const at = { shard: id, sequence: 0, position: 0, rows: text.length, leave: layers, dtype: 'f32' as const }
  const { candidates } = await engine.step({ ...at, tokens: Uint32Array.from(text), want })
  return candidates[0]?.embedding ?? new Float32Array(0)
}

/** What the whole model says greedily after this prompt, computed in one piece. */
export async function greedyAnswer(prompt: readonly number[], layers: number, count: number): Promise<number[]> {
  const engine = new LayerEngine()
  const file = { file: 'whole', architecture: 'toy', start: 0, end: layers, layers }
  const { id } = await engine.load(file, { context: 4_096, sequences: 1, batch: 4_096 })
  const want = { rows: 1, candidates: 1, ids: [], logSumExp: false }
  const answer: number[] = []
  let [tokens, position] = [Uint32Array.from(prompt), 0]
  while (answer.length < count) {
    const at = { shard: id, sequence: 0, position, rows: tokens.length, leave: layers, dtype: 'f32' as const }
    const { candidates } = await engine.step({ ...at, tokens, want })
    const token = candidates[0]?.ids[0] ?? -1
    answer.push(token)
    ;[tokens, position] = [Uint32Array.of(token), position + tokens.length]
  }
  return answer
}
