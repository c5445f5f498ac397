import koffi from 'koffi'
import { TENSOR } from './layout.js'
import type { LlamaFunctions, Pointer } from './llama.js'

const EVAL_CALLBACK = ['bool', ['void *', 'bool', 'void *']] as const
/** The first four bytes of `l_out-`: one comparison tells most graph nodes from the wanted one. */
const PREFIX = new Int32Array(new TextEncoder().encode('l_ou').buffer)[0]
const GGML_TYPE_F32 = 0

interface Target {
  /** Name of the graph node: the hidden state after a layer, before the final norm. */
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
 */
export class HiddenCapture {
  /** For `llama_context_params.cb_eval`. */
  readonly callback: Pointer
  readonly #llama: LlamaFunctions
  #target: Target | undefined
  #outcome: 'missed' | 'taken' | 'unexpected' = 'missed'

  constructor(llama: LlamaFunctions) {
    this.#llama = llama
    const type = koffi.pointer(koffi.proto(EVAL_CALLBACK[0], [...EVAL_CALLBACK[1]]))
    this.callback = koffi.register((tensor: Pointer, ask: boolean) => this.#onNode(tensor, ask), type)
  }

  /** The next decode stops after `layer` (of the shard, from 0). */
  arm(layer: number, target: Omit<Target, 'node'>): void {
    this.#target = { ...target, node: `l_out-${layer}` }
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
    if (ask) return this.#isNamed(tensor, target.node)
    const { rows, width, into } = target
    if (!isMatrix(tensor, rows, width)) this.#outcome = 'unexpected'
    else {
      this.#llama.readTensor(tensor, into, 0, rows * width * Float32Array.BYTES_PER_ELEMENT)
      this.#outcome = 'taken'
    }
    return false
  }

  #isNamed(tensor: Pointer, node: string): boolean {
    if ((koffi.decode(tensor, TENSOR.name, 'int32') as number) !== PREFIX) return false
    // One character more than the name: `l_out-1` must not match `l_out-10`.
    return (koffi.decode(tensor, TENSOR.name, 'char', node.length + 1) as string) === node
  }
}

/** llama.cpp aborts when more is read than a tensor has, so its shape is looked at first. */
function isMatrix(tensor: Pointer, rows: number, width: number): boolean {
  const type = koffi.decode(tensor, TENSOR.type, 'int32') as number
  const [columns, lines, planes] = [0, 8, 16].map(offset => Number(koffi.decode(tensor, TENSOR.ne + offset, 'int64')))
  return type === GGML_TYPE_F32 && columns === width && lines === rows && planes === 1
}
