import type { Tokenizer } from '../engine/types.js'

/** Tokenizers that stay open: each is a process with a vocabulary in memory. */
const MAX_OPEN = 2

/** Opens tokenizers on demand and keeps the last few. */
export class TokenizerCache {
  readonly #openTokenizer: (headerFile: string) => Promise<Tokenizer>
  readonly #tokenizers = new Map<string, Promise<Tokenizer>>()

  constructor({ openTokenizer }: { openTokenizer: (headerFile: string) => Promise<Tokenizer> }) {
    this.#openTokenizer = openTokenizer
  }

  async get(headerFile: string): Promise<Tokenizer> {
    const opened = this.#tokenizers.get(headerFile) ?? this.#openTokenizer(headerFile)
    this.#tokenizers.delete(headerFile)
    this.#tokenizers.set(headerFile, opened) // newest last
    opened.catch(() => this.#tokenizers.delete(headerFile))
    const [oldest] = this.#tokenizers.keys()
    if (this.#tokenizers.size > MAX_OPEN && oldest !== undefined) await this.drop(oldest)
    return opened
  }

  /** Closes one, so that the next `get` opens it again: after its process was lost. */
  async drop(headerFile: string): Promise<void> {
    const dropped = this.#tokenizers.get(headerFile)
    this.#tokenizers.delete(headerFile)
    const tokenizer = await dropped?.catch(() => undefined)
    await tokenizer?.close()
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#tokenizers.keys()].map(async headerFile => this.drop(headerFile)))
  }
}
