/** Mistral's forms: after a mark either a list in JSON, or a name and its arguments, with the mark again for each call. */
import { type CallReader, callsIn, findWord, type WrittenCall } from './call-reader.js'

const OPEN = '[TOOL_CALLS]'
const LIST = /^\s*(?=[[{])/
/** Some versions write an id before the arguments; calls get ids of their own here. */
const NAMED = /^\s*([\w-]+)(?:\[CALL_ID\]\w*)?(?:\[ARGS\])?\s*(?=\{)/
/** What may become one of the two. */
const BEGUN = /^\s*[\w[\]-]*\s*$/
/** What decides where JSON ends: a string, to its end or to that of the text, and brackets. */
const JSON_MARK = /"[^"\\]*(?:\\.[^"\\]*)*"?|[[\]{}]/gs

export const mistralCalls: CallReader = {
  find: text => findWord(text, [OPEN]),
  read(text) {
    if (!text.startsWith(OPEN)) return undefined
    const rest = text.slice(OPEN.length)
    const header = NAMED.exec(rest) ?? LIST.exec(rest)
    if (header === null) return BEGUN.test(rest) ? undefined : { length: OPEN.length, calls: [] }
    const [before, name] = header
    const length = jsonLength(rest.slice(before.length))
    if (length === undefined) return undefined
    const json = rest.slice(before.length, before.length + length)
    const calls = name === undefined ? callsIn(json) : namedCall(name, json)
    return { length: OPEN.length + before.length + length, calls }
  },
  readLast: () => []
}

/** UTF-16 units of the list or the object that the text begins with; undefined while it has not ended. */
function jsonLength(text: string): number | undefined {
  let depth = 0
  for (const { 0: mark, index } of text.matchAll(JSON_MARK)) {
    if (mark === '[' || mark === '{') depth++
    if (mark === ']' || mark === '}') depth--
    if (depth === 0) return index + 1
  }
  return undefined
}

function namedCall(name: string, json: string): WrittenCall[] {
  try {
    return [{ name, arguments: JSON.stringify(JSON.parse(json)) }]
  } catch {
    return []
  }
}
