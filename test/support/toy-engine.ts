import { readFile } from 'node:fs/promises'
import { EngineError } from '../../node/engine/errors.js'
import type {
  ContextSettings,
  EngineState,
  EngineStep,
  EngineStepResult,
  LoadedShard,
  ShardFile
} from '../../node/engine/types.js'
import { parseGguf, type Gguf } from '../../node/models/gguf.js'
import type { SplitEngine } from '../../node/models/split-run.js'

export interface ToyEngineOptions {
  /** What a layer computes depends on its index in the file modulo this. */
  period?: number
  /** Shards on which it behaves like llama.cpp that ends its process; it is back after 10 ms. */
  crashOn?: (shard: ShardFile) => boolean
  /** Added to every logit of a model that was cut. */
  error?: number
}

interface Loaded {
  shard: ShardFile
  layers: Float32Array[]
  embedding: Float32Array
  output: Float32Array
  width: number
  vocabulary: number
}

/**
 * Answers what a comparison asks of an engine with a few sums over the shard file's real tensors: enough to tell whether the right
 * layers are where they should be, without llama.cpp. Only f32 models of `writeTinyModel`.
 */
export class ToyEngine implements SplitEngine {
  state: EngineState = 'ready'
  /** Every shard that was loaded, in order. */
  readonly loads: { start: number; end: number }[] = []
  /** The most shards that were loaded at a time. */
  mostAtOnce = 0
  readonly #options: ToyEngineOptions
  readonly #shards = new Map<number, Loaded>()
  #nextId = 1

  constructor(options: ToyEngineOptions = {}) {
    this.#options = options
  }

  get loaded(): number {
    return this.#shards.size
  }

  async load(shard: ShardFile, settings: ContextSettings): Promise<LoadedShard> {
    if (this.state !== 'ready') throw new EngineError('ENGINE_STOPPED', 'the toy engine is restarting')
    if (this.#options.crashOn?.(shard) === true) this.#crash()
    const loaded = await readLayers(shard)
    const id = this.#nextId++
    this.#shards.set(id, loaded)
    this.loads.push({ start: shard.start, end: shard.end })
    this.mostAtOnce = Math.max(this.mostAtOnce, this.#shards.size)
    return { id, width: loaded.width, vocabulary: loaded.vocabulary, ...settings }
  }

  unload(shard: number): Promise<void> {
    if (!this.#shards.delete(shard)) return Promise.reject(new EngineError('UNKNOWN_SHARD', `no shard ${shard}`))
    return Promise.resolve()
  }

  step(step: EngineStep): Promise<EngineStepResult> {
    const loaded = this.#shards.get(step.shard)
    if (!loaded) return Promise.reject(new EngineError('UNKNOWN_SHARD', `no shard ${step.shard}`))
    const hidden = this.#throughLayers(inputOf(step, loaded), loaded)
    const result = { hidden: undefined, candidates: [], queued: 0, computed: 0 }
    if (step.leave < loaded.shard.layers) return Promise.resolve({ ...result, hidden: new Uint8Array(hidden.buffer) })
    return Promise.resolve({ ...result, candidates: [this.#candidates(hidden, loaded)] })
  }

  #crash(): never {
    this.#shards.clear()
    this.state = 'restarting'
    setTimeout(() => (this.state = 'ready'), 10)
    throw new EngineError('ENGINE_LOST', 'the toy engine crashed, as it was asked to')
  }

  #throughLayers(hidden: Float32Array, { layers, width }: Loaded): Float32Array {
    return layers.reduce((rows, weights, layer) => {
      const shift = 0.25 * (layer % (this.#options.period ?? 1))
      return rows.map((value, i) => Math.sin(3 * value * (weights[i % width] ?? 0) + shift))
    }, hidden)
  }

  #candidates(
    hidden: Float32Array,
    { output, width, vocabulary, shard }: Loaded
  ): { ids: Uint32Array; logits: Float32Array; logSumExp: undefined } {
    const error = shard.start > 0 ? (this.#options.error ?? 0) : 0
    const last = hidden.subarray(-width)
    const ids = Uint32Array.from({ length: vocabulary }, (_, id) => id)
    const logits = Float32Array.from(ids, id =>
      output.subarray(id * width, (id + 1) * width).reduce((sum, weight, i) => sum + weight * (last[i] ?? 0), error)
    )
    return { ids, logits, logSumExp: undefined }
  }
}

async function readLayers(shard: ShardFile): Promise<Loaded> {
  const bytes = await readFile(shard.file)
  const gguf = parseGguf(bytes, bytes.length)
  const count = shard.end - shard.start
  if (gguf.metadata.count(`${shard.architecture}.block_count`) !== count) {
    throw new EngineError('LOAD_FAILED', `the file does not have the ${count} layers that it should have`)
  }
  return {
    shard,
    layers: Array.from({ length: count }, (_, layer) => floats(bytes, gguf, `blk.${layer}.attn_norm.weight`)),
    embedding: floats(bytes, gguf, 'token_embd.weight'),
    output: floats(bytes, gguf, 'output.weight'),
    width: gguf.metadata.count(`${shard.architecture}.embedding_length`) ?? 0,
    vocabulary: gguf.metadata.count(`${shard.architecture}.vocab_size`) ?? 0
  }
}

function floats(bytes: Buffer, { tensors, dataStart }: Gguf, name: string): Float32Array {
  const tensor = tensors.find(other => other.name === name)
  if (!tensor) throw new EngineError('LOAD_FAILED', `the file has no tensor ${name}`)
  const start = bytes.byteOffset + dataStart + tensor.offset
  return new Float32Array(bytes.buffer.slice(start, start + tensor.size))
}

function inputOf({ tokens, hidden }: EngineStep, { embedding, width }: Loaded): Float32Array {
  if (hidden) return new Float32Array(hidden.bytes.slice().buffer)
  const rows = [...(tokens ?? [])].map(token => embedding.subarray(token * width, (token + 1) * width))
  return Float32Array.from(rows.flatMap(row => [...row]))
}
