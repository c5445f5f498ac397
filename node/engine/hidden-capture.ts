import koffi from 'koffi'
import { TENSOR, TENSOR_NAME_LENGTH } from './layout.js'
import type { LlamaFunctions, Pointer } from './llama.js'

const EVAL_CALLBACK = ['bool', ['void *', 'bool', 'void *']] as const
const GGML_TYPE_F32 = 0
/** Made once: where a length is given to `koffi.decode`, koffi makes a type each time, and keeps its name for good. */
const NAME = koffi.array('char', TENSOR_NAME_LENGTH)

/** The graph's hidden state after a layer (of the shard, from 0), of all rows where all are outputs. */
export const layerOutput = (layer: number): string => `l_out-${layer}`
/** That after the output norm, of the rows that are outputs: what llama.cpp calls their embeddings. */
export const NORM_OUTPUT = 'result_norm'

interface Target {
  /** Name of the graph node. */
  node: string
  rows: number
  width: number
  /** `[rows, width]` or longer. */
  into: Float32Array
}

/**
 * Takes a hidden state out of a running decode, through llama.cpp's evaluation callback: asked about each node of the
 * graph it says yes to one, copies its data when that is computed and then stops the graph, so that neither the layers
 * behind it nor a head are computed. One serves all shards of a process: llama.cpp calls it on the thread that decodes.
 *
 * Embeddings are taken so too, and not by llama.cpp's own switch for them: with that every row of the decode becomes an
 * output and goes through the head, those of a long text as well as those of other sequences.
 */
export class HiddenCapture {
  /** For `llama_context_params.cb_eval`. */
  readonly callback: Pointer
  readonly #llama: LlamaFunctions
  #target: (Target & { prefix: number }) | undefined
  #outcome: 'missed' | 'taken' | 'unexpected' = 'missed'

  constructor(llama: LlamaFunctions) {
    this.#llama = llama
    const type = koffi.pointer(koffi.proto(EVAL_CALLBACK[0], [...EVAL_CALLBACK[1]]))
    this.callback = koffi.register((tensor: Pointer, ask: boolean) => this.#onNode(tensor, ask), type)
  }

  /** The next decode stops after the target. */
  arm(target: Target): void {
    this.#target = { ...target, prefix: Buffer.from(target.node).readInt32LE() }
    this.#outcome = 'missed'
  }

  /** Whether the armed decode delivered; disarms. */
  disarm(): boolean {
    this.#target = undefined
    return this.#outcome === 'taken'
  }

  #onNode(tensor: Pointer, ask: boolean): boolean {
    const target = this.#target
    if (target === undefined) return false
    if (ask) return isNamed(tensor, target)
    const { rows, width, into } = target
    if (!isMatrix(tensor, rows, width)) this.#outcome = 'unexpected'
    else {
      this.#llama.readTensor(tensor, into, 0, rows * width * Float32Array.BYTES_PER_ELEMENT)
      this.#outcome = 'taken'
    }
    return false
  }
}

/** One comparison of the first four bytes tells most graph nodes from the wanted one. */
function isNamed(tensor: Pointer, { node, prefix }: { node: string; prefix: number }): boolean {
  if ((koffi.decode(tensor, TENSOR.name, 'int32') as number) !== prefix) return false
  return koffi.decode(tensor, TENSOR.name, NAME) === node
}

/** llama.cpp aborts when more is read than a tensor has, so its shape is looked at first. */
function isMatrix(tensor: Pointer, rows: number, width: number): boolean {
  const type = koffi.decode(tensor, TENSOR.type, 'int32') as number
  const [columns, lines, planes] = [0, 8, 16].map(offset => Number(koffi.decode(tensor, TENSOR.ne + offset, 'int64')))
  return type === GGML_TYPE_F32 && columns === width && lines === rows && planes === 1
}
