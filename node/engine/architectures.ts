/**
 * What llama.cpp's graphs need so that a model cut into layer ranges computes what the whole model does. An architecture
 * that is not in the table is plain: it may be cut anywhere (`node/models/split-check.ts` proves it for each model).
 */
export interface Architecture {
  /** The graph multiplies whatever it is given by sqrt(width): hidden states are multiplied by 1/sqrt(width), in f32, before they go in. */
  inputScale?: 'inverse-sqrt-width'
  /** Metadata keys, less the architecture's prefix, that scale any input of the graph: 1 in a shard that does not start at layer 0. */
  unscaledInput?: readonly string[]
  /**
   * What a layer does depends on its index modulo this, and llama.cpp counts a shard's layers from 0: every cut must be
   * a multiple. A window wider than a test prompt hides the difference, so this holds whatever a check finds.
   */
  period?: number
  /**
   * Metadata keys, less the prefix, of which the first that a model has takes the place of `period`: a number is the
   * period, an array (a flag per layer) is cut together with the model and leaves no period.
   */
  periodKeys?: readonly string[]
  /** llama.cpp aborts on a shard that has only one of the two kinds of layer (attention, recurrent). */
  bothKinds?: true
  /** Why the model cannot be cut; such a model is not shared. */
  unsupported?: string
}

const PLAIN: Architecture = {}
const SCALED_INPUT: Architecture = { inputScale: 'inverse-sqrt-width' }
const EMBEDDING_SCALE: Architecture = { unscaledInput: ['embedding_scale'] }
const BOTH_KINDS: Architecture = { bothKinds: true }
/** Three linear layers to one of attention, unless the model says otherwise. */
const LINEAR_ATTENTION: Architecture = {
  ...BOTH_KINDS,
  period: 4,
  periodKeys: ['attention.recurrent_layers', 'full_attention_interval']
}
const LEARNED_POSITIONS: Architecture = { unsupported: 'its graph adds learned position embeddings to any input' }
const INPUT_NORM: Architecture = { unsupported: 'its graph applies the norm that follows the embedding to any input' }
const BY_LAYER_COUNT: Architecture = {
  unsupported: 'its graph computes with the number of layers, which a cut changes'
}
const SEVERAL_STREAMS: Architecture = { unsupported: 'its layers read more than the hidden state of the layer before' }

/** Every `period`-th layer attends to everything, the others to a window. */
function windowed(period: number): Architecture {
  return { period, periodKeys: ['attention.sliding_window_pattern'] }
}

/** Rows by `general.architecture`; source: llama.cpp `src/models/*.cpp`, and comparisons of every logit, cut and whole. */
const ARCHITECTURES: ReadonlyMap<string, Architecture> = new Map<string, Architecture>([
  ['afmoe', { ...SCALED_INPUT, period: 4 }],
  ['baichuan', BY_LAYER_COUNT],
  ['bloom', INPUT_NORM],
  ['cogvlm', { unsupported: 'its graph takes any hidden state for an image and runs other weights on it' }],
  ['cohere2', windowed(4)],
  ['cohere2moe', windowed(4)],
  ['exaone-moe', windowed(4)],
  ['gemma', SCALED_INPUT],
  ['gemma2', { ...SCALED_INPUT, ...windowed(2) }],
  ['gemma3', windowed(6)],
  ['gemma3n', SEVERAL_STREAMS],
  ['gpt-oss', windowed(2)],
  ['gpt2', LEARNED_POSITIONS],
  ['granite', EMBEDDING_SCALE],
  ['granitehybrid', { ...EMBEDDING_SCALE, ...BOTH_KINDS }],
  ['granitemoe', EMBEDDING_SCALE],
  ['grok', EMBEDDING_SCALE],
  ['jamba', BOTH_KINDS],
  ['kimi-linear', BOTH_KINDS],
  ['laguna', windowed(4)],
  ['lfm2', BOTH_KINDS],
  ['lfm2moe', BOTH_KINDS],
  ['llama4', { period: 4 }],
  ['mellum', windowed(4)],
  ['minicpm', EMBEDDING_SCALE],
  ['minicpm3', BY_LAYER_COUNT],
  ['minimax-01', BY_LAYER_COUNT],
  ['muse-glimmer', INPUT_NORM],
  ['nemotron_h', BOTH_KINDS],
  ['nemotron_h_moe', BOTH_KINDS],
  ['olmo2', windowed(4)],
  ['plamo2', BOTH_KINDS],
  ['plamo3', windowed(8)],
  ['qwen35', LINEAR_ATTENTION],
  ['qwen35moe', LINEAR_ATTENTION],
  ['qwen3next', LINEAR_ATTENTION],
  ['smallthinker', BY_LAYER_COUNT],
  ['smollm3', { period: 4 }],
  ['starcoder', LEARNED_POSITIONS],
  ['talkie', SEVERAL_STREAMS]
])

/** The row of `name` (`general.architecture`); an empty one where nothing special is known. */
export function architectureOf(name: string): Architecture {
  return ARCHITECTURES.get(name) ?? PLAIN
}

/**
 * Metadata, by full key, that a shard of `architecture` which starts at layer `start` has instead of (or besides) the
 * model's. All values are float32 in the file.
 */
export function shardMetadataOverrides(architecture: string, start: number): Record<string, number> {
  if (start === 0) return {}
  const keys = architectureOf(architecture).unscaledInput ?? []
  return Object.fromEntries(keys.map(key => [`${architecture}.${key}`, 1]))
}

/** What a hidden state of `width` is multiplied by before a shard of `architecture` is fed with it; 1 for most. */
export function inputScaleOf(architecture: string, width: number): number {
  return architectureOf(architecture).inputScale === 'inverse-sqrt-width' ? 1 / Math.sqrt(width) : 1
}
