import { EngineError } from './errors.js'
import { Grammar } from './grammar.js'
import { type LlamaFunctions, openVocabularyFunctions, type Pointer } from './llama.js'
import type { VocabularyTable } from './messages.js'
import { TOOL_MARKS, toolFormatOf } from './tool-formats.js'

/** Tokens; the largest known vocabularies have 262 144. */
const MAX_TOKENS = 2 ** 20
/** Bytes of all tokens together. */
const MAX_TABLE_BYTES = 64 * 1024 * 1024
/** Bytes of a first guess at one token, and characters of a chat template: real ones stay below 40 000. */
const PIECE_BYTES = 256
const MAX_TEMPLATE_CHARACTERS = 2 ** 20
/** `enum llama_vocab_type`: no vocabulary. */
const NO_VOCABULARY = 0

/** The vocabulary in a GGUF file, whether or not the file has tensors. For the tokenizer's process. */
export class Vocabulary {
  readonly template: string | undefined
  /** The texts of the special tokens that chat templates mention; empty where the model has none. */
  readonly beginText: string
  readonly endText: string
  readonly #llama: LlamaFunctions
  readonly #vocabulary: Pointer
  readonly #size: number

  private constructor(llama: LlamaFunctions, model: Pointer, vocabulary: Pointer) {
    this.#llama = llama
    this.#vocabulary = vocabulary
    this.#size = llama.vocabularySize(vocabulary)
    const template = llama.chatTemplate(model, null)
    if (template !== null && template.length > MAX_TEMPLATE_CHARACTERS) {
      throw new EngineError('BAD_TEMPLATE', `the chat template has ${template.length} characters`)
    }
    this.template = template ?? undefined
    this.beginText = this.#textOf(llama.beginToken(vocabulary))
    this.endText = this.#textOf(llama.endToken(vocabulary))
  }

  /** @throws EngineError `LOAD_FAILED`, `NO_VOCABULARY`. */
  static open(file: string): Vocabulary {
    const llama = openVocabularyFunctions()
    const model = llama.loadModel(file, { ...llama.defaultModelParams(), vocab_only: true, n_gpu_layers: 0 })
    if (model === null) throw new EngineError('LOAD_FAILED', `llama.cpp cannot read a vocabulary from ${file}`)
    const vocabulary = llama.vocabularyOf(model)
    if (llama.vocabularyType(vocabulary) === NO_VOCABULARY || llama.vocabularySize(vocabulary) === 0) {
      throw new EngineError('NO_VOCABULARY', `${file} has no vocabulary: this model takes token ids only`)
    }
    return new Vocabulary(llama, model, vocabulary)
  }

  table(): VocabularyTable {
    const size = this.#size
    if (size > MAX_TOKENS)
      throw new EngineError('LOAD_FAILED', `the vocabulary has ${size} tokens, at most ${MAX_TOKENS} fit`)
    const offsets = new Uint32Array(size + 1)
    const pieces: Uint8Array[] = []
    const endOfGeneration: number[] = []
    const toolFormat = toolFormatOf(this.template)
    const marks = toolFormat === undefined ? [] : TOOL_MARKS[toolFormat]
    const toolMarks = new Map<number, string>()
    let total = 0
    for (let token = 0; token < size; token++) {
      const piece = this.#bytesOf(token)
      pieces.push(piece)
      total += piece.length
      if (total > MAX_TABLE_BYTES)
        throw new EngineError('LOAD_FAILED', `the tokens need more than ${MAX_TABLE_BYTES} bytes`)
      offsets[token + 1] = total
      if (this.#llama.isEndOfGeneration(this.#vocabulary, token)) endOfGeneration.push(token)
      const mark = piece.length === 0 && marks.length > 0 ? this.#textOf(token) : ''
      if (marks.includes(mark)) toolMarks.set(token, mark)
    }
    return {
      bytes: Buffer.concat(pieces, total),
      offsets,
      endOfGeneration: Uint32Array.from(endOfGeneration),
      hasChatTemplate: this.template !== undefined,
      toolFormat,
      toolMarks
    }
  }

  tokenize(text: string, { addSpecial, special }: { addSpecial: boolean; special: boolean }): Uint32Array {
    const bytes = new TextEncoder().encode(text)
    const into = (length: number): [Int32Array, number] => {
      const tokens = new Int32Array(length)
      return [tokens, this.#llama.tokenize(this.#vocabulary, bytes, bytes.length, tokens, length, addSpecial, special)]
    }
    // A token is seldom less than a byte; the negative count of a second try says how many there are.
    let [tokens, count] = into(bytes.length + 8)
    if (count < 0) [tokens, count] = into(-count)
    if (count < 0) throw new EngineError('TEXT_TOO_LONG', 'llama.cpp cannot tokenize this text')
    const found = tokens.subarray(0, count)
    // A vocabulary that lacks single bytes cannot say everything; llama.cpp then answers -1.
    if (found.every(token => token >= 0 && token < this.#size)) return Uint32Array.from(found)
    throw new EngineError('UNKNOWN_TOKEN', 'the vocabulary has no token for a part of this text')
  }

  /** @throws EngineError `BAD_SCHEMA` */
  grammar(text: string): Grammar {
    return Grammar.open(this.#llama, this.#vocabulary, text)
  }

  get size(): number {
    return this.#size
  }

  #bytesOf(token: number): Uint8Array {
    const into = (length: number): [Uint8Array, number] => {
      const bytes = new Uint8Array(length)
      return [bytes, this.#llama.tokenBytes(this.#vocabulary, token, bytes, length, 0, false)]
    }
    let [bytes, count] = into(PIECE_BYTES)
    if (-count > MAX_TABLE_BYTES) throw new EngineError('LOAD_FAILED', `token ${token} has ${-count} bytes`)
    if (count < 0) [bytes, count] = into(-count)
    return bytes.subarray(0, Math.max(0, count))
  }

  #textOf(token: number): string {
    return token < 0 ? '' : (this.#llama.tokenText(this.#vocabulary, token) ?? '')
  }
}
