/** From the form of an answer to a grammar for llama.cpp, in GBNF. */
import { overlap } from '../overlap.js'
import { EngineError } from './errors.js'
import { toGeneratorSchema } from './json-schema.js'
import type { TextForm, TextPart } from './types.js'

/** Of all alternatives together; the tools of a request may have some hundred parameters. */
const MAX_PARTS = 4_096

/** The generator ends each text with four new lines for a purpose of its own: a text that is whole ends at once. */
const GENERATOR_END = / "(?:\\n){4}" \[\\n\]\*$/m
const GENERATOR_ROOT = 'root'
/** A string, a set of characters, or the name of a rule. */
const GBNF_WORD = /"(?:[^"\\]|\\.)*"|\[(?:[^\]\\]|\\.)*\]|[a-zA-Z][\w-]*/g

/**
 * GBNF for texts of this form. Loads node-llama-cpp for the first JSON: a second, and 40 MiB.
 * @throws EngineError `BAD_SCHEMA`
 */
export async function grammarOf({ oneOf }: TextForm): Promise<string> {
  const parts = oneOf.reduce((sum, one) => sum + countOf(one), 0)
  if (parts > MAX_PARTS) {
    throw new EngineError('BAD_SCHEMA', `an answer of ${parts} parts is more than the ${MAX_PARTS} that fit a grammar`)
  }
  const rules = new Rules()
  const alternatives: string[] = []
  for (const one of oneOf) alternatives.push(await rules.sequence(one))
  return [`root ::= ${alternatives.join(' | ')}`, ...rules.lines].join('\n')
}

function countOf(parts: readonly TextPart[]): number {
  return parts.reduce(
    (sum, part) => sum + (typeof part === 'object' && 'optional' in part ? countOf(part.optional) : 1),
    0
  )
}

/** The rules that parts need, each once. */
class Rules {
  readonly lines: string[] = []
  /** Names, by what the rules are for. */
  readonly #names = new Map<string, string>()

  async sequence(parts: readonly TextPart[]): Promise<string> {
    const written: string[] = []
    for (const part of parts) written.push(await this.#written(part))
    return written.join(' ')
  }

  async #written(part: TextPart): Promise<string> {
    if (typeof part === 'string') return literal(part)
    if ('words' in part) return `( ${part.words.map(literal).join(' | ')} )`
    if ('optional' in part) return `( ${await this.sequence(part.optional)} )?`
    const key = JSON.stringify(part)
    const known = this.#names.get(key)
    if (known !== undefined) return known
    const name = `part${this.#names.size}`
    this.lines.push('until' in part ? untilRules(part.until, name) : await jsonRules(part.schema, name))
    this.#names.set(key, name)
    return name
  }
}

/** JSON that fits a schema, by node-llama-cpp's generator, whose rules get names of their own. */
async function jsonRules(schema: unknown, name: string): Promise<string> {
  const translated = toGeneratorSchema(schema)
  const { getLlama, LlamaLogLevel } = await import('node-llama-cpp')
  const llama = await getLlama({ gpu: false, build: 'never', skipDownload: true, logLevel: LlamaLogLevel.disabled })
  // Its types know schemas that are written down, not those that come with a request.
  const { grammar } = await llama.createGrammarForJsonSchema(translated as { type: 'object' })
  if (!GENERATOR_END.test(grammar) || !grammar.startsWith(`${GENERATOR_ROOT} ::= `)) {
    throw new EngineError('BAD_SCHEMA', 'node-llama-cpp made another grammar than expected')
  }
  return grammar.replace(GENERATOR_END, '').replaceAll(GBNF_WORD, word => {
    if (word === GENERATOR_ROOT) return name
    return /^["[]/.test(word) ? word : `${name}-${word}`
  })
}

/** Any text up to an ending, and with it: the states of a search for that (Knuth, Morris and Pratt), a rule each. */
function untilRules(ending: string, name: string): string {
  const state = (matched: number): string => (matched === 0 ? name : `${name}-${matched}`)
  const letters = [...new Set(ending)]
  const other = `[^${letters.map(inSet).join('')}] ${name}`
  const rules = Array.from(ending, (expected, matched) => {
    const isLast = matched === ending.length - 1
    const goingOn = letters.map(letter =>
      isLast && letter === expected
        ? literal(letter)
        : `${literal(letter)} ${state(overlap(ending.slice(0, matched) + letter, ending))}`
    )
    return `${state(matched)} ::= ${[...goingOn, other].join(' | ')}`
  })
  return rules.join('\n')
}

/** A text in GBNF, which has C's escapes. */
function literal(text: string): string {
  return JSON.stringify(text)
}

/** @param letter one of ASCII's */
function inSet(letter: string): string {
  return `\\x${letter.charCodeAt(0).toString(16).padStart(2, '0')}`
}
