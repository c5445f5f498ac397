/** The forms of Hermes and of Llama 3: JSON, in tags or all there is. */
import { type CallReader, callsIn, findWord, type Reading, type WrittenCall } from './call-reader.js'

const OPEN = '<tool_call>'
const CLOSE = '</tool_call>'

export const hermesCalls: CallReader = {
  find: text => findWord(text, [OPEN]),
  read(text) {
    const close = text.indexOf(CLOSE)
    if (close < 0) return undefined
    return { length: close + CLOSE.length, calls: callsIn(text.slice(OPEN.length, close)) }
  },
  readLast: text => (text.startsWith(OPEN) ? callsIn(text.slice(OPEN.length)) : [])
}

/** An answer that begins like a call is one or none as a whole. */
export class LlamaCalls implements CallReader {
  #isText = false

  find(text: string): number {
    const begun = text.trimStart()
    this.#isText ||= begun !== '' && !begun.startsWith('{')
    return this.#isText ? text.length : 0
  }

  read(): Reading | undefined {
    return undefined
  }

  readLast(text: string): readonly WrittenCall[] {
    return callsIn(text)
  }
}
