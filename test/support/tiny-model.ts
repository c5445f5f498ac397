import { writeFile } from 'node:fs/promises'
import { ggufBytes, type GgufTensor, type GgufValue } from './gguf-writer.js'
import { mulberry32 } from './random.js'

export const TINY_ARCHITECTURES = [
  'llama',
  'qwen2',
  'qwen3',
  'qwen3moe',
  'gemma',
  'gemma2',
  'minicpm',
  'granite',
  'smollm3'
] as const
export type TinyArchitecture = (typeof TINY_ARCHITECTURES)[number]

export interface TinyModelOptions {
  architecture: TinyArchitecture
  /** 8 by default. */
  layers?: number
  /** A multiple of 64; 64 by default. */
  width?: number
  /** Of the weights: the same options give the same bytes. */
  seed?: number
  /** Of the matrices; norms and biases are always f32. */
  type?: 'f32' | 'q8_0'
  /** A SentencePiece tokenizer of bytes, letters and a few pairs, or none at all (token ids only). */
  tokenizer?: 'bytes' | 'none'
  /** Of the tokenizer, in Jinja; none by default: prompts are continued as they are. */
  chatTemplate?: string
  /** Names of control tokens, at the end of that tokenizer's vocabulary; none by default. */
  controls?: readonly string[]
  /** Positions that the model says it was trained for; 512 by default. */
  context?: number
}

export interface TinyModel {
  file: string
  architecture: TinyArchitecture
  layers: number
  width: number
  vocabulary: number
}

interface Shape {
  architecture: TinyArchitecture
  layers: number
  width: number
  heads: number
  keyHeads: number
  head: number
  feedForward: number
  experts: number
  vocabulary: number
  type: 'f32' | 'q8_0'
  context: number
}

const VOCABULARY = 320
const CONTEXT = 512
const EXPERTS = 4
/** Shorter than a check's prompt, so that a layer with the wrong kind of attention shows. */
const WINDOW = 16

/** Writes a random model of a megabyte or so that llama.cpp loads; its text is nonsense, but varied. */
export async function writeTinyModel(file: string, options: TinyModelOptions): Promise<TinyModel> {
  await writeFile(file, tinyModelBytes(options))
  const { architecture, layers, width, vocabulary } = shapeOf(options)
  return { file, architecture, layers, width, vocabulary }
}

export function tinyModelBytes(options: TinyModelOptions): Buffer {
  const shape = shapeOf(options)
  const { chatTemplate: value } = options
  const metadata = new Map([
    ...modelMetadata(shape),
    ...tokenizerOf(shape, options),
    ...(value === undefined ? [] : [['tokenizer.chat_template', { type: 'string', value }] as const])
  ])
  return ggufBytes(metadata, modelTensors(shape, gaussian(options.seed ?? 1)))
}

function shapeOf({ architecture, layers = 8, width = 64, type = 'f32', context = CONTEXT }: TinyModelOptions): Shape {
  const heads = width / 16
  return {
    architecture,
    layers,
    width,
    heads,
    keyHeads: heads / 2,
    head: 16,
    feedForward: width * 2,
    experts: architecture === 'qwen3moe' ? EXPERTS : 0,
    vocabulary: VOCABULARY,
    type,
    context
  }
}

function modelMetadata(shape: Shape): [string, GgufValue][] {
  const own: [string, GgufValue][] = [
    ['block_count', u32(shape.layers)],
    ['context_length', u32(shape.context)],
    ['embedding_length', u32(shape.width)],
    ['feed_forward_length', u32(shape.feedForward)],
    ['vocab_size', u32(shape.vocabulary)],
    ['attention.head_count', u32(shape.heads)],
    ['attention.head_count_kv', u32(shape.keyHeads)],
    ['attention.key_length', u32(shape.head)],
    ['attention.value_length', u32(shape.head)],
    ['attention.layer_norm_rms_epsilon', f32(1e-5)],
    ['rope.dimension_count', u32(shape.head)],
    ['rope.freq_base', f32(10_000)],
    ...particularMetadata(shape)
  ]
  return [
    ['general.architecture', { type: 'string', value: shape.architecture }],
    ['general.name', { type: 'string', value: `tiny ${shape.architecture}` }],
    ['general.license', { type: 'string', value: 'cc0-1.0' }],
    ...own.map(([key, value]): [string, GgufValue] => [`${shape.architecture}.${key}`, value])
  ]
}

function particularMetadata({ architecture, layers, feedForward }: Shape): [string, GgufValue][] {
  switch (architecture) {
    case 'qwen3moe':
      return [
        ['expert_count', u32(EXPERTS)],
        ['expert_used_count', u32(2)],
        ['expert_feed_forward_length', u32(feedForward)]
      ]
    case 'gemma2':
      return [
        ['attention.sliding_window', u32(WINDOW)],
        ['attn_logit_softcapping', f32(50)],
        ['final_logit_softcapping', f32(30)]
      ]
    case 'minicpm':
      return [
        ['embedding_scale', f32(12)],
        ['residual_scale', f32(1.4 / Math.sqrt(layers))],
        ['logit_scale', f32(0.5)]
      ]
    case 'granite':
      return [
        ['embedding_scale', f32(12)],
        ['residual_scale', f32(0.22)],
        ['attention.scale', f32(0.25)],
        ['logit_scale', f32(0.5)]
      ]
    default:
      return []
  }
}

function tokenizerOf({ vocabulary }: Shape, { tokenizer, controls }: TinyModelOptions): [string, GgufValue][] {
  return tokenizer === 'none'
    ? [['tokenizer.ggml.model', { type: 'string', value: 'no_vocab' }]]
    : byteTokenizer(vocabulary, controls)
}

/** The metadata of a SentencePiece tokenizer in which every token has a text. */
export function byteTokenizer(vocabulary: number, controls: readonly string[] = []): [string, GgufValue][] {
  const { tokens, scores, types } = byteTokens(vocabulary - controls.length)
  for (const control of controls) {
    tokens.push(control)
    scores.push(0)
    types.push(3)
  }
  return [
    ['tokenizer.ggml.model', { type: 'string', value: 'llama' }],
    ['tokenizer.ggml.tokens', { type: 'strings', value: tokens }],
    ['tokenizer.ggml.scores', { type: 'f32s', value: scores }],
    ['tokenizer.ggml.token_type', { type: 'i32s', value: types }],
    ['tokenizer.ggml.bos_token_id', u32(1)],
    ['tokenizer.ggml.eos_token_id', u32(2)],
    ['tokenizer.ggml.unknown_token_id', u32(0)],
    ['tokenizer.ggml.add_bos_token', { type: 'bool', value: true }],
    ['tokenizer.ggml.add_space_prefix', { type: 'bool', value: true }]
  ]
}

/** `<unk> <s> </s>`, the 256 bytes, single and double letters, and further words up to `count`. Types: 1 normal, 2 unknown, 3 control, 6 byte. */
function byteTokens(count: number): { tokens: string[]; scores: number[]; types: number[] } {
  const bytes = Array.from({ length: 256 }, (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`)
  const letters = '▁ e t a o i n s h r d l u c m f w y p v b g k j q x z . , ? !'.split(' ')
  const pairs = 'th he in er an re on at en nd ti es or te of ed is it al ar st to nt ng se ha as ou io le'.split(' ')
  const words = Array.from({ length: count }, (_, i) => `▁w${i}`)
  const tokens = ['<unk>', '<s>', '</s>', ...bytes, ...letters, ...pairs, ...words].slice(0, count)
  const types = tokens.map((_, id) => (id === 0 ? 2 : id < 3 ? 3 : id < 259 ? 6 : 1))
  return { tokens, scores: tokens.map((_, id) => (id < 259 ? 0 : 259 - id)), types }
}

function modelTensors(shape: Shape, random: () => number): GgufTensor[] {
  const { width, vocabulary, type } = shape
  const tied = shape.architecture === 'gemma' || shape.architecture === 'gemma2'
  const make = maker(random, type)
  return [
    make.matrix('token_embd', [width, vocabulary], embeddingScale(shape)),
    make.norm('output_norm', width),
    // A head of its own, where the architecture has one: tied to the embedding, a random model repeats its last token.
    ...(tied ? [] : [make.matrix('output', [width, vocabulary], 2 / Math.sqrt(width))]),
    ...Array.from({ length: shape.layers }, (_, layer) => layerTensors(shape, `blk.${layer}.`, make)).flat()
  ]
}

/** So that the embedding is small beside what the layers add to it, whatever the graph scales it with. */
function embeddingScale({ architecture, width }: Shape): number {
  if (architecture === 'gemma' || architecture === 'gemma2') return 0.5 / Math.sqrt(width)
  return architecture === 'minicpm' || architecture === 'granite' ? 1 / 12 : 1
}

function layerTensors(shape: Shape, prefix: string, make: Maker): GgufTensor[] {
  const { width, head, heads, keyHeads, architecture } = shape
  const matrix = (name: string, from: number, to: number): GgufTensor =>
    make.matrix(prefix + name, [from, to], 1.5 / Math.sqrt(from))
  const norm = (name: string, length: number): GgufTensor => make.norm(prefix + name, length)
  const tensors = [
    norm('attn_norm', width),
    matrix('attn_q', width, head * heads),
    matrix('attn_k', width, head * keyHeads),
    matrix('attn_v', width, head * keyHeads),
    matrix('attn_output', head * heads, width),
    norm('ffn_norm', width),
    ...feedForwardTensors(shape, prefix, make)
  ]
  if (architecture === 'qwen2') {
    tensors.push(make.bias(`${prefix}attn_q`, head * heads), make.bias(`${prefix}attn_k`, head * keyHeads))
    tensors.push(make.bias(`${prefix}attn_v`, head * keyHeads))
  }
  if (architecture === 'qwen3' || architecture === 'qwen3moe') {
    tensors.push(norm('attn_q_norm', head), norm('attn_k_norm', head))
  }
  if (architecture === 'gemma2') tensors.push(norm('post_attention_norm', width), norm('post_ffw_norm', width))
  return tensors
}

function feedForwardTensors(shape: Shape, prefix: string, make: Maker): GgufTensor[] {
  const { width, feedForward, experts } = shape
  const into = 1.5 / Math.sqrt(width)
  const out = 1.5 / Math.sqrt(feedForward)
  if (experts === 0) {
    return [
      make.matrix(`${prefix}ffn_gate`, [width, feedForward], into),
      make.matrix(`${prefix}ffn_up`, [width, feedForward], into),
      make.matrix(`${prefix}ffn_down`, [feedForward, width], out)
    ]
  }
  return [
    { ...make.matrix(`${prefix}ffn_gate_inp`, [width, experts], into), type: 'f32' },
    make.matrix(`${prefix}ffn_gate_exps`, [width, feedForward, experts], into),
    make.matrix(`${prefix}ffn_up_exps`, [width, feedForward, experts], into),
    make.matrix(`${prefix}ffn_down_exps`, [feedForward, width, experts], out)
  ]
}

interface Maker {
  matrix(name: string, dims: number[], deviation: number): GgufTensor
  norm(name: string, length: number): GgufTensor
  bias(name: string, length: number): GgufTensor
}

function maker(random: () => number, type: 'f32' | 'q8_0'): Maker {
  const vector = (length: number, mean: number, deviation: number): Float32Array =>
    Float32Array.from({ length }, () => mean + deviation * random())
  return {
    matrix: (name, dims, deviation) => {
      const length = dims.reduce((product, dim) => product * dim, 1)
      return { name: `${name}.weight`, dims, type, values: vector(length, 0, deviation) }
    },
    norm: (name, length) => ({ name: `${name}.weight`, dims: [length], type: 'f32', values: vector(length, 1, 0.1) }),
    bias: (name, length) => ({ name: `${name}.bias`, dims: [length], type: 'f32', values: vector(length, 0, 0.1) })
  }
}

/** Normally distributed numbers from a seed: mulberry32 and Box-Muller. */
function gaussian(seed: number): () => number {
  const uniform = mulberry32(seed)
  return () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform())
}

function u32(value: number): GgufValue {
  return { type: 'u32', value }
}

function f32(value: number): GgufValue {
  return { type: 'f32', value }
}
