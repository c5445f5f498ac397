import koffi, { type TypeObject } from 'koffi'
import { EngineError } from './errors.js'

/** What `llama_version()` of the pinned node-llama-cpp (3.22.1) starts with. The structures below are this version's. */
export const LLAMA_VERSION = '0.5.0'

type Value = number | boolean | null
type Fields = Record<string, readonly [type: string, expected: Value]>

/** `llama_model_params`: each field's C type and the value that `llama_model_default_params()` gives it. */
export const MODEL_FIELDS = {
  devices: ['void *', null],
  tensor_buft_overrides: ['void *', null],
  n_gpu_layers: ['int32', -1],
  split_mode: ['int32', 1],
  load_mode: ['int32', -1],
  lazy_mode: ['int32', 1],
  main_gpu: ['int32', 0],
  tensor_split: ['void *', null],
  progress_callback: ['void *', null],
  progress_callback_user_data: ['void *', null],
  kv_overrides: ['void *', null],
  vocab_only: ['bool', false],
  check_tensors: ['bool', false],
  use_extra_bufts: ['bool', true],
  no_host: ['bool', false],
  no_alloc: ['bool', false],
  load_mtp: ['bool', false]
} as const satisfies Fields

/** `llama_context_params`, the same way. */
export const CONTEXT_FIELDS = {
  n_ctx: ['uint32', 512],
  n_batch: ['uint32', 2048],
  n_ubatch: ['uint32', 512],
  n_seq_max: ['uint32', 1],
  n_rs_seq: ['uint32', 0],
  n_outputs_max: ['uint32', 0],
  n_outputs_max_per_seq: ['uint32', 1],
  n_threads: ['int32', 4],
  n_threads_batch: ['int32', 4],
  ctx_type: ['int32', 0],
  rope_scaling_type: ['int32', -1],
  pooling_type: ['int32', -1],
  attention_type: ['int32', -1],
  flash_attn_type: ['int32', -1],
  rope_freq_base: ['float', 0],
  rope_freq_scale: ['float', 0],
  yarn_ext_factor: ['float', -1],
  yarn_attn_factor: ['float', -1],
  yarn_beta_fast: ['float', -1],
  yarn_beta_slow: ['float', -1],
  yarn_orig_ctx: ['uint32', 0],
  defrag_thold: ['float', -1],
  cb_eval: ['void *', null],
  cb_eval_user_data: ['void *', null],
  type_k: ['int32', 1],
  type_v: ['int32', 1],
  abort_callback: ['void *', null],
  abort_callback_data: ['void *', null],
  embeddings: ['bool', false],
  offload_kqv: ['bool', true],
  no_perf: ['bool', true],
  op_offload: ['bool', true],
  swa_full: ['bool', true],
  kv_unified: ['bool', false],
  samplers: ['void *', null],
  n_samplers: ['size_t', 0],
  ctx_other: ['void *', null]
} as const satisfies Fields

type ParamsOf<F extends Fields> = {
  -readonly [K in keyof F]: F[K][0] extends 'bool' ? boolean : F[K][0] extends 'void *' ? bigint | null : number
}

export type ModelParams = ParamsOf<typeof MODEL_FIELDS>
export type ContextParams = ParamsOf<typeof CONTEXT_FIELDS>

/** `llama_batch`; all pointers. */
export interface Batch {
  n_tokens: number
  token: bigint | null
  embd: bigint | null
  pos: bigint
  n_seq_id: bigint
  seq_id: bigint
  logits: bigint
}

/** The C structures that cross the boundary. Unnamed, so that they can be made more than once in a process. */
export interface Structures {
  modelParams: TypeObject
  contextParams: TypeObject
  batch: TypeObject
  threadpoolParams: TypeObject
}

/** The size of `ggml_threadpool_params.cpumask` (GGML_MAX_N_THREADS). */
export const CPU_MASK_LENGTH = 512

/** Byte offsets in `ggml_tensor`: type, buffer, ne[4], nb[4], op, op_params[16], flags, src[10], view_src, view_offs, data, name. */
export const TENSOR = { type: 0, ne: 16, name: 8 + 8 + 32 + 32 + 4 + 64 + 4 + 80 + 8 + 8 + 8 } as const

/** Characters of a tensor's name, the zero behind it included (`GGML_MAX_NAME`). */
export const TENSOR_NAME_LENGTH = 64

export function defineStructures(): Structures {
  return {
    modelParams: structOf(MODEL_FIELDS),
    contextParams: structOf(CONTEXT_FIELDS),
    batch: koffi.struct({
      n_tokens: 'int32',
      token: 'void *',
      embd: 'void *',
      pos: 'void *',
      n_seq_id: 'void *',
      seq_id: 'void *',
      logits: 'void *'
    }),
    threadpoolParams: koffi.struct({
      cpumask: koffi.array('bool', CPU_MASK_LENGTH),
      n_threads: 'int',
      prio: 'int',
      poll: 'uint32',
      strict_cpu: 'bool',
      paused: 'bool'
    })
  }
}

function structOf(fields: Fields): TypeObject {
  return koffi.struct(Object.fromEntries(Object.entries(fields).map(([name, [type]]) => [name, type])))
}

/**
 * Compares what llama.cpp calls its defaults with what they are in the pinned version: a field that was added, removed
 * or moved shifts others and shows here, before any of them is used.
 * @throws EngineError `LAYOUT_MISMATCH`, naming the first field that differs.
 */
export function checkDefaults(structure: string, fields: Fields, actual: ModelParams | ContextParams): void {
  const values = new Map<string, bigint | Value>(Object.entries(actual))
  for (const [field, [, expected]] of Object.entries(fields)) {
    const received = values.get(field) ?? null
    if (received === expected) continue
    throw new EngineError(
      'LAYOUT_MISMATCH',
      `llama.cpp's default for ${structure}.${field} is ${String(received)}, expected ${String(expected)}: ` +
        'the installed node-llama-cpp is not the version that this program was built for; reinstall the dependencies',
      { details: { structure, field, expected, received } }
    )
  }
}

/** @throws EngineError `LAYOUT_MISMATCH`. Asked before any structure crosses the boundary. */
export function checkVersion(version: string): void {
  if (version === LLAMA_VERSION || version.startsWith(`${LLAMA_VERSION}-`)) return
  throw new EngineError(
    'LAYOUT_MISMATCH',
    `the installed llama.cpp says that it is version ${version}, expected ${LLAMA_VERSION}: reinstall the dependencies`,
    { details: { structure: 'llama_version', expected: LLAMA_VERSION, received: version } }
  )
}
