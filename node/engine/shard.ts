import koffi from 'koffi'
import { inputScaleOf } from './architectures.js'
import { selectCandidates } from './candidates.js'
import { EngineError } from './errors.js'
import { type HiddenCapture, layerOutput, NORM_OUTPUT } from './hidden-capture.js'
import type { Llama, Pointer } from './llama.js'
import { RowBuffers } from './row-buffers.js'
import { Sequences } from './sequences.js'
import { checkStep, type ShardShape, wantsEmbedding } from './step-check.js'
import type { ContextSettings, EngineSettings, EngineStep, RowCandidates, ShardFile } from './types.js'

/** `enum llama_rope_type`: with these, llama.cpp takes four positions for each row of hidden states. */
const MROPE_TYPES: readonly number[] = [8, 40]
/** `enum llama_pooling_type`: each row keeps its own state, whatever the model's file says of pooling. */
const NO_POOLING = 0
/** The largest finite f16. */
const F16_MAX = 65_504
const MAX_INT32 = 0x7fffffff

export interface StepOutput {
  hidden: Uint8Array | undefined
  candidates: RowCandidates[]
}

/** What the shards of a process share. */
export interface ShardParts {
  llama: Llama
  capture: HiddenCapture
  threadpool: Pointer
}

type Wanted = ContextSettings & { id: number; engine: EngineSettings }

interface Loaded {
  model: Pointer
  context: Pointer
  memory: Pointer
  architecture: string
}

/** One layer range of a model, loaded, with a context of its own. */
export class Shard {
  readonly shape: ShardShape
  readonly #parts: ShardParts
  readonly #model: Pointer
  readonly #context: Pointer
  readonly #memory: Pointer
  readonly #sequences: Sequences
  readonly #inputScale: number
  readonly #mrope: boolean
  readonly #rows: RowBuffers
  readonly #hidden: Float32Array
  readonly #halves: Uint16Array

  private constructor(parts: ShardParts, shape: ShardShape, loaded: Loaded) {
    const { model, context, memory, architecture } = loaded
    this.shape = shape
    this.#parts = parts
    this.#model = model
    this.#context = context
    this.#memory = memory
    this.#sequences = new Sequences(shape.context)
    this.#inputScale = inputScaleOf(architecture, shape.width)
    this.#mrope = MROPE_TYPES.includes(parts.llama.ropeType(model))
    this.#rows = new RowBuffers(shape)
    this.#hidden = new Float32Array(shape.batch * shape.width)
    this.#halves = new Uint16Array(shape.batch * shape.width)
  }

  /** @throws EngineError `LOAD_FAILED`, `UNSUPPORTED_MODEL`. */
  static load(parts: ShardParts, file: ShardFile, wanted: Wanted): Shard {
    const { llama } = parts
    const onGpu = llama.info.backend !== 'cpu'
    const gpuLayers = onGpu ? Math.min(wanted.engine.gpuLayers, MAX_INT32) : 0
    const model = llama.loadModel(file.file, { ...llama.defaultModelParams(), n_gpu_layers: gpuLayers })
    if (model === null) throw new EngineError('LOAD_FAILED', `llama.cpp cannot load ${file.file}`)
    try {
      const shape = shapeOf(llama, model, file, wanted)
      const context = newContext(parts, model, wanted, onGpu)
      const memory = llama.memoryOf(context)
      if (memory !== null) return new Shard(parts, shape, { model, context, memory, architecture: file.architecture })
      llama.freeContext(context)
      throw new EngineError('UNSUPPORTED_MODEL', `${file.architecture} has no KV cache: it does not generate text`)
    } catch (error) {
      llama.freeModel(model)
      throw error
    }
  }

  free(): void {
    const { llama } = this.#parts
    llama.detachThreadpool(this.#context)
    llama.freeContext(this.#context)
    llama.freeModel(this.#model)
  }

  /** @throws EngineError whatever llama.cpp would not like about the step. Does not change anything. */
  check(step: EngineStep, reserved: number): void {
    checkStep(step, this.shape)
    this.#sequences.check(step, reserved)
  }

  /** Drops what the sequence holds from `position` on. @throws EngineError `CANNOT_TRUNCATE`. */
  truncate(sequence: number, position: number): void {
    const held = this.#sequences.lengthOf(sequence)
    if (position >= held) return
    if (position === 0) {
      this.release(sequence)
      return
    }
    if (!this.#parts.llama.removePositions(this.#memory, sequence, position, -1)) {
      throw new EngineError(
        'CANNOT_TRUNCATE',
        `this model cannot go back from position ${held} to ${position}: start the sequence again from position 0`,
        { details: { sequence, position, held } }
      )
    }
    this.#sequences.truncate(sequence, position)
  }

  release(sequence: number): void {
    this.#parts.llama.removePositions(this.#memory, sequence, -1, -1)
    this.#sequences.drop(sequence)
  }

  /**
   * Brings a step's input into row `first` of the next decode. @throws EngineError `NOT_FINITE`.
   */
  write(step: EngineStep, first: number): void {
    const { tokens, hidden, rows } = step
    if (tokens !== undefined) this.#rows.token.set(tokens, first)
    if (hidden === undefined) return
    const { width } = this.shape
    const into = this.#rows.embd.subarray(first * width, (first + rows) * width)
    if (hidden.dtype === 'f32') bytesOf(into).set(hidden.bytes)
    else {
      const halves = this.#halves.subarray(0, into.length)
      bytesOf(halves).set(hidden.bytes)
      this.#parts.llama.f16ToF32(halves, into, into.length)
    }
    if (!(largestMagnitude(into) < Infinity)) {
      throw new EngineError('NOT_FINITE', `the hidden states of sequence ${step.sequence} hold NaN or infinity`)
    }
    if (this.#inputScale !== 1) for (let i = 0; i < into.length; i++) into[i] = (into[i] ?? 0) * this.#inputScale
  }

  /**
   * One decode of steps that were checked, truncated and written one after the other from row 0: all tokens or all
   * hidden states, with the same `leave`, all for embeddings or none, each of another sequence.
   * @returns per step its output, or the error that concerns it alone.
   * @throws EngineError `DECODE_FAILED`: none of the sequences holds anything now.
   */
  decode(steps: EngineStep[]): (StepOutput | EngineError)[] {
    const { llama, capture } = this.#parts
    const { width } = this.shape
    const rows = this.#rows.describe(steps, { head: this.#isThroughHead(steps[0]), mrope: this.#mrope })
    const captured = this.#capturedOf(steps, rows)
    if (captured !== undefined) capture.arm({ ...captured, width, into: this.#hidden })
    const code = llama.decode(this.#context, this.#rows.batch(rows, steps[0]?.tokens !== undefined))
    if (code === 0) llama.synchronize(this.#context)
    const taken = capture.disarm()
    if (code !== 0 || (captured !== undefined && !taken)) this.#fail(steps, code)
    for (const step of steps) this.#sequences.append(step)
    let first = 0
    return steps.map((step, number) => {
      const from = first
      first += step.rows
      return this.#outputOf(step, { first: from, number })
    })
  }

  #isThroughHead(step: EngineStep | undefined): boolean {
    return step?.leave === this.shape.layers
  }

  /** The node of the graph after which such a decode stops, and its rows; undefined: it does not. */
  #capturedOf(steps: EngineStep[], rows: number): { node: string; rows: number } | undefined {
    const [step] = steps
    if (step === undefined) return undefined
    if (!this.#isThroughHead(step)) return { node: layerOutput(step.leave - 1 - this.shape.start), rows }
    return wantsEmbedding(step) ? { node: NORM_OUTPUT, rows: steps.length } : undefined
  }

  #fail(steps: EngineStep[], code: number): never {
    for (const { sequence } of steps) this.release(sequence)
    const what = code === 0 ? 'gave no hidden state of the expected shape' : `failed with code ${code}`
    throw new EngineError('DECODE_FAILED', `llama_decode ${what}: start the sequence again from position 0`, {
      details: { code }
    })
  }

  /** Of the step whose first row is `first`, and before which there are `number` others. */
  #outputOf(step: EngineStep, { first, number }: { first: number; number: number }): StepOutput | EngineError {
    try {
      if (!this.#isThroughHead(step)) return { hidden: this.#hiddenOf(step, first), candidates: [] }
      if (wantsEmbedding(step)) return { hidden: undefined, candidates: [this.#embeddingOf(step, number)] }
      return { hidden: undefined, candidates: this.#candidatesOf(step, first + step.rows - step.want.rows) }
    } catch (error) {
      if (!(error instanceof EngineError)) throw error
      if (error.code === 'OUTPUT_NOT_FINITE') this.release(step.sequence)
      return error
    }
  }

  #hiddenOf({ sequence, rows, dtype }: EngineStep, first: number): Uint8Array {
    const { width } = this.shape
    const values = this.#hidden.subarray(first * width, (first + rows) * width)
    const largest = largestMagnitude(values)
    if (!(largest < Infinity)) throw notFinite(sequence)
    if (dtype === 'f32') return bytesOf(values).slice()
    if (largest > F16_MAX) {
      throw new EngineError('F16_OVERFLOW', `a hidden state reaches ${largest}, more than f16 can say: ask for f32`)
    }
    const halves = this.#halves.subarray(0, values.length)
    this.#parts.llama.f32ToF16(values, halves, values.length)
    return bytesOf(halves).slice()
  }

  /** Of the step before which there are `number` others: each has one row there. */
  #embeddingOf({ sequence }: EngineStep, number: number): RowCandidates {
    const { width } = this.shape
    const embedding = this.#hidden.slice(number * width, (number + 1) * width)
    if (!(largestMagnitude(embedding) < Infinity)) throw notFinite(sequence)
    return { ids: new Uint32Array(0), logits: new Float32Array(0), logSumExp: undefined, embedding }
  }

  #candidatesOf({ sequence, want }: EngineStep, from: number): RowCandidates[] {
    return Array.from({ length: want.rows }, (_, n) => {
      const address = this.#parts.llama.logitsOf(this.#context, from + n)
      if (address === null) throw new EngineError('DECODE_FAILED', `llama.cpp gave no logits for row ${from + n}`)
      // A view, not a copy: valid until the next decode.
      const logits = new Float32Array(koffi.view(address, this.shape.vocabulary * Float32Array.BYTES_PER_ELEMENT))
      const selected = selectCandidates(logits, want)
      if (selected === undefined) throw notFinite(sequence)
      return selected
    })
  }
}

function notFinite(sequence: number): EngineError {
  return new EngineError(
    'OUTPUT_NOT_FINITE',
    `the layers computed NaN or infinity for sequence ${sequence}: its input or the model's file is damaged`
  )
}

function shapeOf(llama: Llama, model: Pointer, file: ShardFile, wanted: Wanted): ShardShape {
  const { start, end, layers } = file
  const width = llama.width(model)
  if (llama.inputWidth(model) !== width) {
    throw new EngineError(
      'UNSUPPORTED_MODEL',
      `${file.architecture} wants inputs of another width than its hidden states`
    )
  }
  const [all, extra] = [llama.layers(model), llama.extraLayers(model)]
  if (all !== end - start && all - extra !== end - start) {
    throw new EngineError(
      'LOAD_FAILED',
      `${file.file} has ${all} layers, expected ${end - start}: fetch the shard again`
    )
  }
  const middle = start > 0 && end < layers
  const vocabulary = middle ? 0 : llama.vocabularySize(llama.vocabularyOf(model))
  const { id, batch, context, sequences } = wanted
  return { id, width, vocabulary, batch, context, sequences, start, end, layers }
}

function newContext(
  { llama, capture, threadpool }: ShardParts,
  model: Pointer,
  wanted: Wanted,
  onGpu: boolean
): Pointer {
  const { context: positions, batch, sequences, engine } = wanted
  const most = llama.maxSequences()
  if (sequences > most) {
    throw new EngineError('LOAD_FAILED', `llama.cpp allows ${most} sequences, ${sequences} were asked for`)
  }
  const context = llama.newContext(model, {
    ...llama.defaultContextParams(),
    n_ctx: positions,
    n_batch: batch,
    n_ubatch: batch,
    n_seq_max: sequences,
    n_threads: engine.threads,
    n_threads_batch: engine.threads,
    pooling_type: NO_POOLING,
    kv_unified: true,
    offload_kqv: onGpu,
    op_offload: onGpu,
    cb_eval: capture.callback
  })
  if (context === null) {
    throw new EngineError('LOAD_FAILED', `llama.cpp cannot make a context of ${positions} positions: ask for less`)
  }
  llama.attachThreadpool(context, threadpool, threadpool)
  return context
}

function bytesOf(array: Float32Array | Uint16Array): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength)
}

/** The largest absolute value; NaN when there is a NaN. */
function largestMagnitude(values: Float32Array): number {
  let largest = 0
  for (const value of values) {
    const magnitude = Math.abs(value)
    if (!(magnitude <= largest)) largest = magnitude
    if (Number.isNaN(largest)) return NaN
  }
  return largest
}
