import type { Tool, ToolFormat } from '../../engine/types.js'
import type { CallReader, WrittenCall } from './call-reader.js'
import { hermesCalls, LlamaCalls } from './json-calls.js'
import { mistralCalls } from './mistral-calls.js'
import { TaggedCalls } from './tagged-calls.js'

export interface CallPiece {
  /** What is not a call. */
  text: string
  calls: WrittenCall[]
}

/** Tells calls of tools from text while both come. What looks like a call and is none stays text. */
export class CallStream {
  readonly #reader: CallReader
  #held = ''
  #afterCall = false

  constructor(format: ToolFormat, tools: readonly Tool[]) {
    this.#reader = readerOf(format, tools)
  }

  push(text: string): CallPiece {
    this.#held += text
    const piece: CallPiece = { text: '', calls: [] }
    for (;;) {
      // Space after a call is not for the reader.
      if (this.#afterCall) this.#held = this.#held.trimStart()
      piece.text += this.#take(this.#reader.find(this.#held))
      const found = this.#held === '' ? undefined : this.#reader.read(this.#held)
      if (found === undefined) return piece
      const whole = this.#take(found.length)
      if (found.calls.length === 0) piece.text += whole
      else piece.calls.push(...found.calls)
      this.#afterCall = found.calls.length > 0
    }
  }

  /** What is still held back, at the end of the answer. */
  end(): CallPiece {
    const held = this.#held
    this.#held = ''
    const calls = this.#reader.readLast(held)
    return calls.length === 0 ? { text: held, calls: [] } : { text: '', calls: [...calls] }
  }

  #take(length: number): string {
    const taken = this.#held.slice(0, length)
    this.#held = this.#held.slice(length)
    if (taken !== '') this.#afterCall = false
    return taken
  }
}

function readerOf(format: ToolFormat, tools: readonly Tool[]): CallReader {
  switch (format) {
    case 'hermes':
      return hermesCalls
    case 'llama3':
      return new LlamaCalls()
    case 'mistral':
    case 'mistral-args':
      return mistralCalls
    case 'qwen3-coder':
      return new TaggedCalls(tools)
  }
}
