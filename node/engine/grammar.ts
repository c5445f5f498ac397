import koffi from 'koffi'
import { EngineError } from './errors.js'
import type { LlamaFunctions, Pointer } from './llama.js'

/** `llama_token_data`: id, logit, probability; 4 bytes each. */
const CANDIDATE_WORDS = 3
/** `llama_token_data_array`: data, size, selected (8 bytes each), sorted. */
const ARRAY_BYTES = 32

/**
 * What an answer may say, as llama.cpp's grammar sampler keeps track of it: which tokens may come next after those that were
 * accepted. For the tokenizer's process; close it.
 */
export class Grammar {
  readonly #llama: LlamaFunctions
  readonly #sampler: Pointer
  #isBegun = false

  private constructor(llama: LlamaFunctions, sampler: Pointer) {
    this.#llama = llama
    this.#sampler = sampler
  }

  /**
   * @param text GBNF, with the rule `root`
   * @throws EngineError `BAD_SCHEMA` where llama.cpp does not understand it
   */
  static open(llama: LlamaFunctions, vocabulary: Pointer, text: string): Grammar {
    const sampler = llama.newGrammar(vocabulary, text, 'root')
    if (sampler === null)
      throw new EngineError('BAD_SCHEMA', 'llama.cpp does not understand the grammar of this schema')
    return new Grammar(llama, sampler)
  }

  /** Those of the candidates that may come next, in their order; at the end of the whole, those that end an answer. */
  allowed(candidates: Uint32Array): Uint32Array {
    // With an ArrayBuffer of its own each: V8 may move the contents of small typed arrays that have none.
    const data = new ArrayBuffer(4 * CANDIDATE_WORDS * candidates.length)
    const [ids, logits] = [new Int32Array(data), new Float32Array(data)]
    candidates.forEach((id, i) => {
      ids[CANDIDATE_WORDS * i] = id
    })
    const array = new DataView(new ArrayBuffer(ARRAY_BYTES))
    array.setBigUint64(0, koffi.address(ids), true)
    array.setBigUint64(8, BigInt(candidates.length), true)
    array.setBigInt64(16, -1n, true)
    this.#llama.applySampler(this.#sampler, array)
    return candidates.filter((_, i) => logits[CANDIDATE_WORDS * i + 1] !== -Infinity)
  }

  /** @param token one of those that were allowed: llama.cpp aborts on any other */
  accept(token: number): void {
    this.#isBegun = true
    this.#llama.acceptToken(this.#sampler, token)
  }

  /** Something has been accepted. */
  get isBegun(): boolean {
    return this.#isBegun
  }

  close(): void {
    this.#llama.freeSampler(this.#sampler)
  }
}
