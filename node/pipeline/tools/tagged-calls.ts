/** Qwen3-Coder's form: a tag for each argument. What looks like XML is none: nothing is escaped. */
import type { Tool } from '../../engine/types.js'
import { argumentValue, schemaOf } from './argument-value.js'
import { type CallReader, findWord, type Reading, type WrittenCall } from './call-reader.js'

const OPEN = '<tool_call>'
const CLOSE = '</tool_call>'
/** Models leave the outer tags out at times. */
const FUNCTION = '<function='
const FUNCTION_END = '</function>'
const PARAMETER = '<parameter='
const PARAMETER_END = '</parameter>'
const HEADER = /^<function=([\w-]+)>/
const ARGUMENT = /<parameter=([^<>\n]+)>([^]*?)<\/parameter>/g

export class TaggedCalls implements CallReader {
  readonly #tools: readonly Tool[]

  /** @param tools their schemas say what the arguments are */
  constructor(tools: readonly Tool[]) {
    this.#tools = tools
  }

  find(text: string): number {
    return findWord(text, [OPEN, FUNCTION])
  }

  read(text: string): Reading | undefined {
    const body = withoutOpening(text)
    if (!body.startsWith(FUNCTION)) {
      const isBegun = [OPEN, FUNCTION].some(word => word.startsWith(body))
      return isBegun ? undefined : { length: OPEN.length, calls: [] }
    }
    const end = functionLength(body)
    if (end === undefined) return undefined
    const after = body.slice(end).trimStart()
    if (CLOSE.startsWith(after) && after !== CLOSE) return undefined // its own, or what follows
    const left = after.startsWith(CLOSE) ? after.length - CLOSE.length : body.length - end
    return { length: text.length - left, calls: this.#callsOf(body.slice(0, end)) }
  }

  readLast(text: string): readonly WrittenCall[] {
    const body = withoutOpening(text)
    return this.#callsOf(body.slice(0, functionLength(body) ?? 0))
  }

  /** @param body from the function's tag to its end */
  #callsOf(body: string): WrittenCall[] {
    const name = HEADER.exec(body)?.[1]
    if (name === undefined) return []
    const parameters = this.#tools.find(tool => tool.name === name)?.parameters
    const given = Array.from(body.matchAll(ARGUMENT), ([, key = '', text = '']): [string, unknown] => {
      // One new line after the tag and one before the next belong to the form.
      const value = text.replace(/^\n/, '').replace(/\n$/, '')
      return [key, argumentValue(value, schemaOf(key, parameters), parameters)]
    })
    return [{ name, arguments: JSON.stringify(Object.fromEntries(given)) }]
  }
}

function withoutOpening(text: string): string {
  return text.startsWith(OPEN) ? text.slice(OPEN.length).trimStart() : text
}

/** With its end tag, which may also stand in an argument; undefined while it has not come. */
function functionLength(body: string): number | undefined {
  let from = 0
  for (;;) {
    const end = body.indexOf(FUNCTION_END, from)
    if (end < 0) return undefined
    const parameter = body.indexOf(PARAMETER, from)
    if (parameter < 0 || parameter > end) return end + FUNCTION_END.length
    const parameterEnd = body.indexOf(PARAMETER_END, parameter)
    if (parameterEnd < 0) return undefined
    from = parameterEnd + PARAMETER_END.length
  }
}
