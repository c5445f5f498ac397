import koffi, { type LibraryHandle } from 'koffi'
import { asError } from '../../protocol/errors.js'
import { EngineError } from './errors.js'
import {
  type Batch,
  checkDefaults,
  checkVersion,
  CONTEXT_FIELDS,
  type ContextParams,
  CPU_MASK_LENGTH,
  defineStructures,
  MODEL_FIELDS,
  type ModelParams,
  type Structures
} from './layout.js'
import { backendsToTry, findLibraries, type Libraries } from './libraries.js'
import type { Backend, EngineInfo } from './types.js'

/** The address of something of llama.cpp's. */
export type Pointer = bigint
type Buffered = ArrayBufferView | Pointer

/** llama.cpp's functions that are used, under short names. What returns a pointer may return null where it says so. */
export interface LlamaFunctions {
  defaultModelParams: () => ModelParams
  defaultContextParams: () => ContextParams
  loadModel: (file: string, params: ModelParams) => Pointer | null
  freeModel: (model: Pointer) => void
  newContext: (model: Pointer, params: ContextParams) => Pointer | null
  freeContext: (context: Pointer) => void
  decode: (context: Pointer, batch: Batch) => number
  synchronize: (context: Pointer) => void
  logitsOf: (context: Pointer, row: number) => Pointer | null
  memoryOf: (context: Pointer) => Pointer | null
  removePositions: (memory: Pointer, sequence: number, from: number, to: number) => boolean
  attachThreadpool: (context: Pointer, threadpool: Pointer, batchThreadpool: Pointer) => void
  detachThreadpool: (context: Pointer) => void
  maxSequences: () => number
  inputWidth: (model: Pointer) => number
  width: (model: Pointer) => number
  layers: (model: Pointer) => number
  extraLayers: (model: Pointer) => number
  ropeType: (model: Pointer) => number
  chatTemplate: (model: Pointer, name: null) => string | null
  vocabularyOf: (model: Pointer) => Pointer
  vocabularyType: (vocabulary: Pointer) => number
  vocabularySize: (vocabulary: Pointer) => number
  isEndOfGeneration: (vocabulary: Pointer, token: number) => boolean
  beginToken: (vocabulary: Pointer) => number
  endToken: (vocabulary: Pointer) => number
  tokenText: (vocabulary: Pointer, token: number) => string | null
  tokenBytes: (
    ...args: [vocabulary: Pointer, token: number, into: Uint8Array, length: number, strip: number, special: boolean]
  ) => number
  tokenize: (
    ...args: [
      vocabulary: Pointer,
      text: Uint8Array,
      bytes: number,
      into: Int32Array,
      length: number,
      addSpecial: boolean,
      special: boolean
    ]
  ) => number
  /** Null where the grammar is not understood. */
  newGrammar: (vocabulary: Pointer, text: string, root: string) => Pointer | null
  applySampler: (sampler: Pointer, candidates: Buffered) => void
  acceptToken: (sampler: Pointer, token: number) => void
  freeSampler: (sampler: Pointer) => void
  /** Copies `bytes` of a tensor to host memory, from whatever device it is on. */
  readTensor: (tensor: Pointer, into: Buffered, offset: number, bytes: number) => void
  f32ToF16: (from: Float32Array, to: Uint16Array, elements: number) => void
  f16ToF32: (from: Uint16Array, to: Float32Array, elements: number) => void
}

export interface Llama extends LlamaFunctions {
  info: EngineInfo
  /** A pool of CPU threads that outlives each decode. `poll`: 0 to 100, how eagerly idle threads spin. */
  newThreadpool: (threads: number, poll: number) => Pointer
}

// enum ggml_backend_dev_type
const CPU_DEVICE = 0
const GPU_DEVICES: readonly number[] = [1, 2]

/**
 * Opens llama.cpp with the first of the wanted backends that works here.
 * @param warn told about each backend that was passed over.
 * @throws EngineError `LIBRARIES_MISSING`, `BACKEND_UNAVAILABLE`, `LAYOUT_MISMATCH`.
 */
export async function openLlama(wanted: Backend | 'auto', warn: (message: string) => void): Promise<Llama> {
  const backends = await backendsToTry(wanted)
  let found = false
  for (const backend of backends) {
    const libraries = findLibraries(backend)
    if (libraries === undefined) {
      warn(`no llama.cpp libraries for ${backend} are installed`)
      continue
    }
    found = true
    try {
      return openLibraries(libraries)
    } catch (error) {
      if (error instanceof EngineError && error.code === 'LAYOUT_MISMATCH') throw error
      warn(`llama.cpp with ${backend} does not work here: ${asError(error).message}`)
    }
  }
  const tried = backends.join(', ')
  if (found)
    throw new EngineError(
      'BACKEND_UNAVAILABLE',
      `no compute backend works here; tried: ${tried}. Set backend to auto or cpu`
    )
  throw new EngineError(
    'LIBRARIES_MISSING',
    `llama.cpp's libraries are not installed for: ${tried}. Reinstall without --omit=optional`
  )
}

/** What a tokenizer needs: any installed package, no compute backend. */
export function openVocabularyFunctions(): LlamaFunctions {
  const libraries = (['cpu', 'metal', 'cuda', 'vulkan'] as const).map(findLibraries).find(found => found !== undefined)
  if (libraries === undefined) {
    throw new EngineError(
      'LIBRARIES_MISSING',
      "llama.cpp's libraries are not installed. Reinstall without --omit=optional"
    )
  }
  return new OpenLibraries(libraries).functions
}

function openLibraries(libraries: Libraries): Llama {
  const open = new OpenLibraries(libraries)
  const devices = open.loadBackends()
  return {
    ...open.functions,
    info: { backend: libraries.backend, version: open.describe(), devices },
    newThreadpool: open.threadpoolMaker()
  }
}

class OpenLibraries {
  readonly functions: LlamaFunctions
  readonly #libraries: Libraries
  readonly #structures: Structures
  readonly #base: LibraryHandle
  readonly #ggml: LibraryHandle
  readonly #llama: LibraryHandle

  constructor(libraries: Libraries) {
    this.#libraries = libraries
    this.#structures = defineStructures()
    // In this order: Windows finds a library's dependencies among those that are loaded.
    this.#base = koffi.load(libraries.base)
    this.#ggml = koffi.load(libraries.ggml)
    this.#llama = koffi.load(libraries.llama)
    checkVersion(this.#text(this.#llama, 'llama_version'))
    this.functions = bind(this.#llama, this.#base, this.#structures)
    checkDefaults('llama_model_params', MODEL_FIELDS, this.functions.defaultModelParams())
    checkDefaults('llama_context_params', CONTEXT_FIELDS, this.functions.defaultContextParams())
  }

  describe(): string {
    const commit = this.#text(this.#base, 'ggml_commit')
    return `llama.cpp ${this.#text(this.#llama, 'llama_version')} (${commit}) ${this.#text(this.#llama, 'llama_print_system_info')}`.trim()
  }

  /** Loads the compute backends and returns the devices; throws when the package's GPU is not among them. */
  loadBackends(): EngineInfo['devices'] {
    const { backend, folder, fallbackFolder } = this.#libraries
    const load = this.#ggml.func('ggml_backend_load_all_from_path', 'void', ['str']) as (folder: string) => void
    load(folder)
    let devices = this.#devices()
    const missing = (): boolean => backend !== 'cpu' && !devices.some(({ isGpu }) => isGpu)
    if (missing() && fallbackFolder !== undefined) {
      load(fallbackFolder)
      devices = this.#devices()
    }
    if (missing()) throw new EngineError('BACKEND_UNAVAILABLE', `no ${backend} device was found`)
    return devices.filter(({ isGpu }) => backend !== 'cpu' || !isGpu).map(({ device }) => device)
  }

  threadpoolMaker(): Llama['newThreadpool'] {
    const params = this.#structures.threadpoolParams
    const byType = this.#ggml.func('ggml_backend_dev_by_type', 'void *', ['int']) as (type: number) => Pointer | null
    const registryOf = this.#base.func('ggml_backend_dev_backend_reg', 'void *', ['void *']) as (
      device: Pointer
    ) => Pointer
    const find = this.#base.func('ggml_backend_reg_get_proc_address', 'void *', ['void *', 'str']) as (
      registry: Pointer,
      name: string
    ) => Pointer | null
    const device = byType(CPU_DEVICE)
    const address = device === null ? null : find(registryOf(device), 'ggml_threadpool_new')
    if (address === null) throw new EngineError('BACKEND_UNAVAILABLE', 'the CPU backend could not be loaded')
    const make = koffi.decode(address, koffi.proto('void *', [koffi.pointer(params)])) as (
      params: object
    ) => Pointer | null
    return (threads, poll) => {
      const cpumask = new Array<boolean>(CPU_MASK_LENGTH).fill(false)
      const pool = make({ cpumask, n_threads: threads, prio: 0, poll, strict_cpu: false, paused: false })
      if (pool === null) throw new EngineError('BACKEND_UNAVAILABLE', `no pool of ${threads} threads could be started`)
      return pool
    }
  }

  #devices(): { isGpu: boolean; device: EngineInfo['devices'][number] }[] {
    const count = this.#ggml.func('ggml_backend_dev_count', 'size_t', []) as () => number
    const get = this.#ggml.func('ggml_backend_dev_get', 'void *', ['size_t']) as (index: number) => Pointer
    const text = (name: string): ((device: Pointer) => string) =>
      this.#base.func(name, 'str', ['void *']) as (device: Pointer) => string
    const [name, description] = [text('ggml_backend_dev_name'), text('ggml_backend_dev_description')]
    const type = this.#base.func('ggml_backend_dev_type', 'int', ['void *']) as (device: Pointer) => number
    const memory = this.#base.func('ggml_backend_dev_memory', 'void', ['void *', 'void *', 'void *']) as (
      device: Pointer,
      free: BigUint64Array,
      total: BigUint64Array
    ) => void
    return Array.from({ length: count() }, (_, index) => {
      const pointer = get(index)
      const [free, total] = [new BigUint64Array(1), new BigUint64Array(1)]
      memory(pointer, free, total)
      const device = { name: name(pointer), description: description(pointer) }
      return {
        isGpu: GPU_DEVICES.includes(type(pointer)),
        device: { ...device, memoryTotal: Number(total[0]), memoryFree: Number(free[0]) }
      }
    })
  }

  #text(library: LibraryHandle, name: string): string {
    return (library.func(name, 'str', []) as () => string)()
  }
}

function bind(
  llama: LibraryHandle,
  base: LibraryHandle,
  { modelParams, contextParams, batch }: Structures
): LlamaFunctions {
  const P = 'void *'
  const I = 'int32'
  const f = llama.func.bind(llama)
  const g = base.func.bind(base)
  return {
    defaultModelParams: f('llama_model_default_params', modelParams, []) as LlamaFunctions['defaultModelParams'],
    defaultContextParams: f(
      'llama_context_default_params',
      contextParams,
      []
    ) as LlamaFunctions['defaultContextParams'],
    loadModel: f('llama_model_load_from_file', P, ['str', modelParams]) as LlamaFunctions['loadModel'],
    freeModel: f('llama_model_free', 'void', [P]) as LlamaFunctions['freeModel'],
    newContext: f('llama_init_from_model', P, [P, contextParams]) as LlamaFunctions['newContext'],
    freeContext: f('llama_free', 'void', [P]) as LlamaFunctions['freeContext'],
    decode: f('llama_decode', I, [P, batch]) as LlamaFunctions['decode'],
    synchronize: f('llama_synchronize', 'void', [P]) as LlamaFunctions['synchronize'],
    logitsOf: f('llama_get_logits_ith', P, [P, I]) as LlamaFunctions['logitsOf'],
    memoryOf: f('llama_get_memory', P, [P]) as LlamaFunctions['memoryOf'],
    removePositions: f('llama_memory_seq_rm', 'bool', [P, I, I, I]) as LlamaFunctions['removePositions'],
    attachThreadpool: f('llama_attach_threadpool', 'void', [P, P, P]) as LlamaFunctions['attachThreadpool'],
    detachThreadpool: f('llama_detach_threadpool', 'void', [P]) as LlamaFunctions['detachThreadpool'],
    maxSequences: f('llama_max_parallel_sequences', 'size_t', []) as LlamaFunctions['maxSequences'],
    inputWidth: f('llama_model_n_embd_inp', I, [P]) as LlamaFunctions['inputWidth'],
    width: f('llama_model_n_embd', I, [P]) as LlamaFunctions['width'],
    layers: f('llama_model_n_layer', I, [P]) as LlamaFunctions['layers'],
    extraLayers: f('llama_model_n_layer_nextn', I, [P]) as LlamaFunctions['extraLayers'],
    ropeType: f('llama_model_rope_type', I, [P]) as LlamaFunctions['ropeType'],
    chatTemplate: f('llama_model_chat_template', 'str', [P, P]) as LlamaFunctions['chatTemplate'],
    vocabularyOf: f('llama_model_get_vocab', P, [P]) as LlamaFunctions['vocabularyOf'],
    vocabularyType: f('llama_vocab_type', I, [P]) as LlamaFunctions['vocabularyType'],
    vocabularySize: f('llama_vocab_n_tokens', I, [P]) as LlamaFunctions['vocabularySize'],
    isEndOfGeneration: f('llama_vocab_is_eog', 'bool', [P, I]) as LlamaFunctions['isEndOfGeneration'],
    beginToken: f('llama_vocab_bos', I, [P]) as LlamaFunctions['beginToken'],
    endToken: f('llama_vocab_eos', I, [P]) as LlamaFunctions['endToken'],
    tokenText: f('llama_vocab_get_text', 'str', [P, I]) as LlamaFunctions['tokenText'],
    tokenBytes: f('llama_token_to_piece', I, [P, I, P, I, I, 'bool']) as LlamaFunctions['tokenBytes'],
    tokenize: f('llama_tokenize', I, [P, P, I, P, I, 'bool', 'bool']) as LlamaFunctions['tokenize'],
    newGrammar: f('llama_sampler_init_grammar', P, [P, 'str', 'str']) as LlamaFunctions['newGrammar'],
    applySampler: f('llama_sampler_apply', 'void', [P, P]) as LlamaFunctions['applySampler'],
    acceptToken: f('llama_sampler_accept', 'void', [P, I]) as LlamaFunctions['acceptToken'],
    freeSampler: f('llama_sampler_free', 'void', [P]) as LlamaFunctions['freeSampler'],
    readTensor: g('ggml_backend_tensor_get', 'void', [P, P, 'size_t', 'size_t']) as LlamaFunctions['readTensor'],
    f32ToF16: g('ggml_fp32_to_fp16_row', 'void', [P, P, 'int64']) as LlamaFunctions['f32ToF16'],
    f16ToF32: g('ggml_fp16_to_fp32_row', 'void', [P, P, 'int64']) as LlamaFunctions['f16ToF32']
  }
}
