import { abortable, deadline, DeadlineError } from '../deadline.js'
import { ChildClient, type EngineLogger } from './child-client.js'
import { EngineError } from './errors.js'
import { TOKENIZER_CODECS, type TokenizerCalls, type VocabularyTable } from './messages.js'
import type { ChatMessage, Constraint, TextForm, Tokenizer, Tool, ToolFormat } from './types.js'

export interface TokenizerParts {
  /** The compiled `tokenizer-child.js`. */
  childModule: URL
  logger: EngineLogger
}

export interface TokenizerSettings {
  /** A GGUF file with the model's metadata; it needs no tensors. */
  headerFile: string
  /** ms for opening, tokenizing one text and rendering one chat. */
  openLimit?: number
  tokenizeLimit?: number
  renderLimit?: number
}

/** The vocabulary of a large model takes a second to read; a long text milliseconds; a chat template less. */
const OPEN_LIMIT = 30_000
const TOKENIZE_LIMIT = 30_000
const RENDER_LIMIT = 5_000
/** UTF-16 units of one text, or of all messages of a chat together: far more than any context. */
export const MAX_TEXT_CHARACTERS = 4 * 1024 * 1024
/** MiB of JavaScript heap: a hostile chat template must not take the machine's memory. */
const HEAP_MIB = 512

/**
 * Opens the vocabulary of a model in a process of its own.
 * @throws EngineError `LOAD_FAILED`, `NO_VOCABULARY`, `LIBRARIES_MISSING`, `LAYOUT_MISMATCH`, `TOKENIZER_LOST` when
 * llama.cpp aborts on the file.
 */
export async function openTokenizer(
  parts: TokenizerParts,
  settings: TokenizerSettings,
  { signal }: { signal?: AbortSignal } = {}
): Promise<Tokenizer> {
  signal?.throwIfAborted()
  const client = ChildClient.spawn<TokenizerCalls>(
    { ...parts, codecs: TOKENIZER_CODECS, onExit: () => undefined },
    { lostCode: 'TOKENIZER_LOST', execArgv: [`--max-old-space-size=${HEAP_MIB}`] }
  )
  try {
    const opening = client.call('open', { file: settings.headerFile }, { silence: settings.openLimit ?? OPEN_LIMIT })
    const table = await (signal === undefined ? opening : abortable(opening, signal))
    return new ChildTokenizer(client, table, settings)
  } catch (error) {
    client.kill()
    await client.close()
    throw error
  }
}

class ChildTokenizer implements Tokenizer {
  readonly vocabulary: number
  readonly hasChatTemplate: boolean
  readonly toolFormat: ToolFormat | undefined
  readonly toolMarks: ReadonlyMap<number, string>
  readonly #client: ChildClient<TokenizerCalls>
  readonly #table: VocabularyTable
  readonly #endOfGeneration: ReadonlySet<number>
  readonly #limits: { tokenize: number; render: number }

  constructor(client: ChildClient<TokenizerCalls>, table: VocabularyTable, settings: TokenizerSettings) {
    this.vocabulary = table.offsets.length - 1
    this.hasChatTemplate = table.hasChatTemplate
    this.toolFormat = table.toolFormat
    this.toolMarks = table.toolMarks
    this.#client = client
    this.#table = table
    this.#endOfGeneration = new Set(table.endOfGeneration)
    this.#limits = { tokenize: settings.tokenizeLimit ?? TOKENIZE_LIMIT, render: settings.renderLimit ?? RENDER_LIMIT }
  }

  async tokenize(
    text: string,
    { addSpecial, special, signal }: { addSpecial: boolean; special: boolean; signal?: AbortSignal }
  ): Promise<Uint32Array> {
    checkLength(text.length)
    const request = { text, addSpecial, special }
    const tokens = this.#client.call('tokenize', request, { silence: this.#limits.tokenize, bytes: text.length })
    return signal === undefined ? tokens : abortable(tokens, signal)
  }

  bytesOf(token: number): Uint8Array {
    const { bytes, offsets } = this.#table
    const [from, to] = [offsets[token], offsets[token + 1]]
    if (from === undefined || to === undefined) {
      throw new EngineError('UNKNOWN_TOKEN', `token ${token} is not among the ${this.vocabulary} of the vocabulary`)
    }
    return bytes.subarray(from, to)
  }

  isEndOfGeneration(token: number): boolean {
    return this.#endOfGeneration.has(token)
  }

  async renderChat(
    messages: ChatMessage[],
    { tools, signal }: { tools?: Tool[]; signal?: AbortSignal } = {}
  ): Promise<string> {
    checkLength(JSON.stringify([messages, tools]).length)
    if (!this.hasChatTemplate) throw new EngineError('NO_TEMPLATE', 'the model has no chat template: send plain text')
    // Twice the limit as silence: the deadline comes first, and says more.
    const rendering = this.#client.call('render', { messages, tools }, { silence: 2 * this.#limits.render })
    using limit = deadline('rendering a chat template', this.#limits.render, signal)
    try {
      return await abortable(rendering, limit.signal)
    } catch (error) {
      if (!(error instanceof DeadlineError)) throw error
      this.#client.kill()
      throw new EngineError(
        'TEMPLATE_TIMEOUT',
        `the model's chat template did not end within ${this.#limits.render} ms: open the tokenizer again, send plain text`
      )
    }
  }

  get isLost(): boolean {
    return this.#client.hasEnded
  }

  async constrain(form: TextForm, { signal }: { signal?: AbortSignal } = {}): Promise<Constraint> {
    const silence = this.#limits.tokenize
    const opening = this.#client.call('constrain', form, { silence, bytes: JSON.stringify(form).length })
    const close = (constraint: number): void => {
      // A process that is gone has forgotten it anyway.
      this.#client.call('release', { constraint }, { silence }).catch(() => undefined)
    }
    try {
      const constraint = await (signal === undefined ? opening : abortable(opening, signal))
      return {
        allowed: ({ accepted, candidates }) =>
          this.#client.call('allow', { constraint, accepted, candidates }, { silence }),
        close: () => close(constraint)
      }
    } catch (error) {
      opening.then(close, () => undefined) // where the caller did not wait for it
      throw error
    }
  }

  async close(): Promise<void> {
    await this.#client.close()
  }
}

function checkLength(characters: number): void {
  if (characters <= MAX_TEXT_CHARACTERS) return
  throw new EngineError('TEXT_TOO_LONG', `${characters} characters are more than the ${MAX_TEXT_CHARACTERS} allowed`)
}
