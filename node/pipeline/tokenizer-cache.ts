import { abortable } from '../deadline.js'
import type { Tokenizer } from '../engine/types.js'

/** Tokenizers that stay open unused: each is a process with a vocabulary in memory. */
const MAX_OPEN = 2

interface Entry {
  headerFile: string
  opened: Promise<Tokenizer>
  /** Once it is open. */
  tokenizer: Tokenizer | undefined
  users: number
}

/** A tokenizer in use. */
export interface BorrowedTokenizer extends Disposable {
  tokenizer: Tokenizer
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

  /** Stays open until it is given back. One that could not be opened, or was lost meanwhile, is opened anew. */
  async borrow(headerFile: string, { signal }: { signal: AbortSignal }): Promise<BorrowedTokenizer> {
    const entry = this.#entry(headerFile)
    entry.users++
    const giveBack = (): void => {
      entry.users--
      this.#closeUnused(entry)
    }
    try {
      return { tokenizer: await abortable(entry.opened, signal), [Symbol.dispose]: giveBack }
    } catch (error) {
      giveBack()
      throw error
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
    const isLost = known?.tokenizer?.isLost === true
    if (isLost && known.users === 0) this.#close(known)
    const entry = known === undefined || isLost ? this.#open(headerFile) : known
    this.#entries.delete(headerFile)
    this.#entries.set(headerFile, entry) // newest last
    return entry
  }

  #open(headerFile: string): Entry {
    const entry: Entry = { headerFile, opened: this.#openTokenizer(headerFile), tokenizer: undefined, users: 0 }
    entry.opened.then(
      tokenizer => (entry.tokenizer = tokenizer),
      () => this.#forget(entry)
    )
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
