/** Tools in answers: what a model may be made to write, and what it has written. */
import type { TextForm, Tool, ToolCall, ToolFormat } from '../engine/types.js'
import { toGeneratorSchema } from '../engine/json-schema.js'

/** The form of an answer that is a call of one of these tools. A tool whose schema cannot be kept to takes any object. */
export function callForm(tools: readonly Tool[], format: ToolFormat): TextForm {
  const { key, before, after } = FORMS[format]
  const calls = tools.map(({ name, parameters }) => ({
    type: 'object',
    properties: { name: { const: name }, [key]: keptSchema(parameters) }
  }))
  return { schema: { oneOf: calls }, before, after }
}

const FORMS = {
  hermes: { key: 'arguments', before: '<tool_call>\n', after: '\n</tool_call>' },
  llama3: { key: 'parameters', before: '', after: '' }
} as const satisfies Record<ToolFormat, { key: string; before: string; after: string }>

function keptSchema(parameters: Tool['parameters']): Record<string, unknown> {
  const any = { type: 'object' }
  if (parameters === undefined) return any
  try {
    toGeneratorSchema(parameters)
    return parameters
  } catch {
    return any // a hint to the model, as without constraint
  }
}

export type WrittenCall = Omit<ToolCall, 'id'>

export interface CallPiece {
  /** What is not a call. */
  text: string
  calls: WrittenCall[]
}

const OPEN = '<tool_call>'
const CLOSE = '</tool_call>'

/** Tells calls from text while both come. What looks like a call and is none stays text. */
export class CallStream {
  readonly #format: ToolFormat
  #held = ''
  #afterCall = false

  constructor(format: ToolFormat) {
    this.#format = format
  }

  push(text: string): CallPiece {
    this.#held += text
    return this.#format === 'hermes' ? this.#tagged() : this.#bare()
  }

  /** What is still held back, at the end of the answer. */
  end(): CallPiece {
    const held = this.#held
    this.#held = ''
    const json = held.startsWith(OPEN) ? held.slice(OPEN.length) : held
    const call = this.#format === 'llama3' || held !== json ? callOf(json) : undefined
    return call === undefined ? { text: held, calls: [] } : { text: '', calls: [call] }
  }

  #tagged(): CallPiece {
    const piece: CallPiece = { text: '', calls: [] }
    for (;;) {
      // Space after a call is not for the reader.
      if (this.#afterCall) this.#held = this.#held.trimStart()
      const open = this.#held.indexOf(OPEN)
      piece.text += this.#take(open < 0 ? this.#held.length - endingThatBegins(this.#held, OPEN) : open)
      const close = this.#held.indexOf(CLOSE)
      if (open < 0 || close < 0) return piece
      const call = callOf(this.#held.slice(OPEN.length, close))
      const whole = this.#take(close + CLOSE.length)
      if (call === undefined) piece.text += whole
      else piece.calls.push(call)
      this.#afterCall = call !== undefined
    }
  }

  #take(length: number): string {
    const taken = this.#held.slice(0, length)
    this.#held = this.#held.slice(length)
    if (taken !== '') this.#afterCall = false
    return taken
  }

  /** An answer that begins like a call is one or none as a whole. */
  #bare(): CallPiece {
    if (this.#held.trimStart() === '' || this.#held.trimStart().startsWith('{')) return { text: '', calls: [] }
    const text = this.#held
    this.#held = ''
    return { text, calls: [] }
  }
}

/** Of its endings, the length of the longest with which `word` begins. */
function endingThatBegins(text: string, word: string): number {
  for (let length = Math.min(word.length - 1, text.length); length > 0; length--) {
    if (text.endsWith(word.slice(0, length))) return length
  }
  return 0
}

function callOf(json: string): WrittenCall | undefined {
  try {
    const value = JSON.parse(json) as { name?: unknown; arguments?: unknown; parameters?: unknown } | null
    const given = value?.arguments ?? value?.parameters ?? {}
    if (typeof value?.name !== 'string' || typeof given !== 'object') return undefined
    return { name: value.name, arguments: JSON.stringify(given) }
  } catch {
    return undefined
  }
}
