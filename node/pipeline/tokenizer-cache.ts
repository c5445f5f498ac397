import { abortable } from '../deadline.js'
import { EngineError, type EngineErrorCode } from '../engine/errors.js'
import type { Tokenizer } from '../engine/types.js'

/** Tokenizers that stay open unused: each is a process with a vocabulary in memory. */
const MAX_OPEN = 2
/** What these say: the tokenizer's process is of no use any more. */
const GONE: ReadonlySet<EngineErrorCode> = new Set(['TOKENIZER_LOST', 'TEMPLATE_TIMEOUT', 'ENGINE_STOPPED'])

interface Entry {
  headerFile: string
  opened: Promise<Tokenizer>
  users: number
}

/** Opens tokenizers on demand and keeps the last few. One that is in use is not closed. */
export class TokenizerCache {
  readonly #openTokenizer: (headerFile: string) => Promise<Tokenizer>
  /** The one used longest ago first. */
  readonly #entries = new Map<string, Entry>()
  readonly #closing = new Set<Promise<unknown>>()

  constructor({ openTokenizer }: { openTokenizer: (headerFile: string) => Promise<Tokenizer> }) {
    this.#openTokenizer = openTokenizer
  }

  /** Runs `work`. A tokenizer that could not be opened, or is lost meanwhile, is opened anew the next time. */
  async use<T>(
    headerFile: string,
    work: (tokenizer: Tokenizer) => Promise<T>,
    { signal }: { signal: AbortSignal }
  ): Promise<T> {
    const entry = this.#entry(headerFile)
    entry.users++
    try {
      return await work(await abortable(entry.opened, signal))
    } catch (error) {
      if (error instanceof EngineError && GONE.has(error.code)) this.#forget(entry)
      throw error
    } finally {
      entry.users--
      this.#closeUnused(entry)
    }
  }

  async stop(): Promise<void> {
    const entries = [...this.#entries.values()]
    this.#entries.clear()
    for (const entry of entries) this.#close(entry)
    await Promise.all(this.#closing)
  }

  #entry(headerFile: string): Entry {
    const known = this.#entries.get(headerFile)
    const entry = known ?? { headerFile, opened: this.#openTokenizer(headerFile), users: 0 }
    this.#entries.delete(headerFile)
    this.#entries.set(headerFile, entry) // newest last
    if (known === undefined) entry.opened.catch(() => this.#forget(entry))
    return entry
  }

  /** Another one may have taken its place. */
  #forget(entry: Entry): void {
    if (this.#entries.get(entry.headerFile) === entry) this.#entries.delete(entry.headerFile)
  }

  #closeUnused(used: Entry): void {
    if (used.users === 0 && this.#entries.get(used.headerFile) !== used) this.#close(used)
    for (const entry of [...this.#entries.values()]) {
      if (this.#entries.size <= MAX_OPEN) return
      if (entry.users > 0) continue
      this.#forget(entry)
      this.#close(entry)
    }
  }

  /** Nobody waits for it but `stop`: it may still be opening. */
  #close({ opened }: Entry): void {
    const closing = opened
      .then(tokenizer => tokenizer.close())
      .catch(() => undefined)
      .finally(() => this.#closing.delete(closing))
    this.#closing.add(closing)
  }
}
