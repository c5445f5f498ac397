/** What the rest of the node asks of an engine: shards of models, run by llama.cpp in a child process. */

export type Dtype = 'f32' | 'f16'

/** Compute backends, in the order in which they are preferred where several work. */
export type Backend = 'cuda' | 'metal' | 'vulkan' | 'cpu'

export interface EngineSettings {
  backend: Backend | 'auto'
  /** Threads of the CPU pool. */
  threads: number
  /** Layers on the GPU; the default is all. */
  gpuLayers: number
  /** How eagerly idle threads spin for work, 0 (the default) to 100: helps only an engine that shares its cores with nobody. */
  poll?: number
}

/** A shard file (or a whole model's file) and what part of the model it is. */
export interface ShardFile {
  file: string
  architecture: string
  /** Layers `[start, end)` of the model. */
  start: number
  end: number
  /** Layers of the whole model: the shard with `end === layers` has the head. */
  layers: number
}

export interface ContextSettings {
  /** KV positions, shared by all sequences of the shard. */
  context: number
  /** The most sequences at a time. */
  sequences: number
  /** The most rows in one decode. */
  batch: number
}

export interface LoadedShard {
  /** Handle for later calls; not reused after an engine restart. */
  id: number
  /** Of a hidden state, elements. */
  width: number
  /** Tokens in the vocabulary; 0 for a middle shard. */
  vocabulary: number
  /** The most rows one step may have. */
  batch: number
  context: number
  sequences: number
}

/** What the head answers for the last rows of a step. */
export interface Want {
  rows: number
  candidates: number
  ids: number[]
  logSumExp: boolean
  /** In place of candidates: the last row's hidden state after the output norm. */
  embedding?: boolean
}

export interface RowCandidates {
  /** Token ids, best logit first, then the ones asked for by id. */
  ids: Uint32Array
  logits: Float32Array
  /** Over the whole vocabulary; undefined when it was not asked for. */
  logSumExp: number | undefined
  /** `[width]`; absent when it was not asked for. */
  embedding?: Float32Array
}

export interface EngineStep {
  shard: number
  /** Sequence id within the shard's context, `[0, sequences)`. */
  sequence: number
  /** Of the first row. What the sequence holds from here on is dropped first. */
  position: number
  rows: number
  /** Either token ids ... */
  tokens?: Uint32Array
  /** ... or hidden states `[rows, width]` in `dtype`, little endian. */
  hidden?: { dtype: Dtype; bytes: Uint8Array }
  /** Run the shard's layers up to this one of the model (exclusive); `layers` means with the head. */
  leave: number
  /** Element type of the hidden states that come back. */
  dtype: Dtype
  want: Want
}

export interface EngineStepResult {
  /** `[rows, width]` when the step left before the head. */
  hidden: Uint8Array | undefined
  candidates: RowCandidates[]
  /** Milliseconds from arrival in the engine's process to the start of the decode, and in the decode. */
  queued: number
  computed: number
  /** Of the whole decode; one of its steps has it. */
  decode?: DecodeSize
}

/** What is computed together. */
export interface DecodeSize {
  steps: number
  rows: number
}

export type EngineState = 'stopped' | 'starting' | 'ready' | 'restarting'

export interface EngineInfo {
  backend: Backend
  /** llama.cpp's version and system line. */
  version: string
  devices: { name: string; description: string; memoryTotal: number; memoryFree: number }[]
}

export interface EngineEvents {
  /** The child process is gone: every shard and sequence in it is lost. */
  lost: CustomEvent<{ code: number | null; signal: string | null; restartInMs: number | undefined }>
  /** A new child is ready; shards must be loaded again. */
  ready: CustomEvent<EngineInfo>
}

export interface Engine {
  readonly state: EngineState
  readonly info: EngineInfo | undefined
  /** Process id of the child, for diagnosis and tests. */
  readonly pid: number | undefined
  start(options?: { signal?: AbortSignal }): Promise<EngineInfo>
  stop(): Promise<void>
  load(shard: ShardFile, settings: ContextSettings, options?: { signal?: AbortSignal }): Promise<LoadedShard>
  unload(shard: number): Promise<void>
  /**
   * Steps of different sequences are decoded together; steps of one sequence in the order of the calls.
   * Rejects with an `EngineError` when the input is refused, llama.cpp fails or the child dies.
   */
  step(step: EngineStep): Promise<EngineStepResult>
  /** Frees the KV of a sequence. */
  release(shard: number, sequence: number): Promise<void>
  addEventListener<K extends keyof EngineEvents>(type: K, listener: (event: EngineEvents[K]) => void): void
  removeEventListener<K extends keyof EngineEvents>(type: K, listener: (event: EngineEvents[K]) => void): void
}

export type ChatMessage =
  | { role: 'system' | 'user'; content: string }
  /** `toolCalls`: what it asked for in that turn. */
  | { role: 'assistant'; content: string; toolCalls?: ToolCall[] }
  /** What a tool answered; `toolCall` is the id of the call. */
  | { role: 'tool'; content: string; toolCall: string }

/** A function of the client's that the model may ask for. */
export interface Tool {
  name: string
  description?: string
  /** JSON schema of its arguments; absent: any object. */
  parameters?: Record<string, unknown>
}

export interface ToolCall {
  /** Of the conversation; some templates show it to the model. */
  id: string
  name: string
  /** JSON. */
  arguments: string
}

/**
 * How a model asks for tools, by its chat template.
 *
 * - `hermes` `<tool_call>{"name", "arguments"}</tool_call>`, any number, also after text (Hermes, Qwen)
 * - `llama3` `{"name", "parameters"}` and nothing else (Llama 3.1 and later)
 * - `mistral` `[TOOL_CALLS][{"name", "arguments"}, …]` (Mistral from 7B v0.3 to Small 3.1, Nemo)
 * - `mistral-args` `[TOOL_CALLS]name[ARGS]{…}`, any number (Mistral Small 3.2, Magistral, Devstral, Ministral 3)
 * - `qwen3-coder` `<tool_call><function=name><parameter=key>value</parameter></function></tool_call>`, any number, also
 *   after text (Qwen3-Coder)
 */
export type ToolFormat = 'hermes' | 'llama3' | 'mistral' | 'mistral-args' | 'qwen3-coder'

/** A model's vocabulary, from its header file; lives in a child process of its own, since a stranger may have written it. */
export interface Tokenizer {
  readonly vocabulary: number
  /** False where the model has no chat template and prompts are continued as plain text. */
  readonly hasChatTemplate: boolean
  /** Undefined where the chat template has no tools, or asks for them in a way that is not known here. */
  readonly toolFormat: ToolFormat | undefined
  /** Control tokens that mark calls of tools, with their names: `bytesOf` has nothing for them. */
  readonly toolMarks: ReadonlyMap<number, string>
  /** Token ids of `text`. `special`: names of special tokens in the text count as those tokens. */
  tokenize(text: string, options: { addSpecial: boolean; special: boolean; signal?: AbortSignal }): Promise<Uint32Array>
  /** The bytes that a token stands for; empty for control tokens. Bytes of several tokens may make one character. */
  bytesOf(token: number): Uint8Array
  isEndOfGeneration(token: number): boolean
  /** The prompt text for these messages, ending where the assistant's answer begins. */
  renderChat(messages: ChatMessage[], options?: { tools?: Tool[]; signal?: AbortSignal }): Promise<string>
  /** @throws EngineError `BAD_SCHEMA`, `QUEUE_FULL` */
  constrain(form: TextForm, options?: { signal?: AbortSignal }): Promise<Constraint>
  /** Its process is gone: of no use any more. */
  readonly isLost: boolean
  close(): Promise<void>
}

/** A text that is one of these, each of its parts in turn. */
export interface TextForm {
  oneOf: readonly (readonly TextPart[])[]
}

export type TextPart =
  /** This text. */
  | string
  /** One of these texts. */
  | { words: readonly string[] }
  /** JSON by this schema. */
  | { schema: unknown }
  /** Anything up to this ending, and that, which is ASCII. */
  | { until: string }
  /** These parts, or nothing. */
  | { optional: readonly TextPart[] }

/** A text under way that must have a form. */
export interface Constraint {
  /**
   * Which of the candidates, or of all tokens, may come next; at the end of the whole, those that end an answer.
   * @param accepted the token that was chosen last, if it has not been told yet
   */
  allowed(question: { accepted?: number | undefined; candidates?: Uint32Array | undefined }): Promise<Uint32Array>
  close(): void
}
