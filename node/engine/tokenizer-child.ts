/** Entry point of a tokenizer's process: its file, and the chat template in it, may be a stranger's. */
import '../compat.js'
import { Template } from '@huggingface/jinja'
import { asError } from '../../protocol/errors.js'
import { CallServer } from './child-server.js'
import { EngineError } from './errors.js'
import { grammarOf } from './form-grammar.js'
import type { Grammar } from './grammar.js'
import { TOKENIZER_CODECS, type TokenizerCalls } from './messages.js'
import { templateMessage } from './template-messages.js'
import { toolFormatOf } from './tool-formats.js'
import type { ChatMessage, TextForm, Tool } from './types.js'
import { Vocabulary } from './vocabulary.js'

/** Characters of a rendered prompt. */
const MAX_PROMPT_CHARACTERS = 8 * 1024 * 1024
/** Answers at a time that must fit a schema: as many as a gateway has under way. */
const MAX_CONSTRAINTS = 256
const MAX_GRAMMARS = 32

let opened: Vocabulary | undefined
let template: Template | undefined
/** Control tokens that mark calls of tools. */
let toolMarks = new Uint32Array()

function vocabulary(): Vocabulary {
  if (opened === undefined) throw new EngineError('TOKENIZER_LOST', 'no vocabulary has been opened')
  return opened
}

function render(messages: ChatMessage[], tools: Tool[] | undefined): string {
  const { template: source, beginText, endText } = vocabulary()
  if (source === undefined) throw new EngineError('NO_TEMPLATE', 'the model has no chat template: send plain text')
  const format = toolFormatOf(source)
  const prompt = runTemplate(source, {
    messages: messages.map(message => templateMessage(message, format)),
    ...(tools !== undefined && { tools: tools.map(tool => ({ type: 'function', function: tool })) }),
    add_generation_prompt: true,
    bos_token: beginText,
    eos_token: endText
  })
  if (prompt.length <= MAX_PROMPT_CHARACTERS) return prompt
  throw new EngineError('BAD_TEMPLATE', `the chat template made a prompt of ${prompt.length} characters`)
}

function runTemplate(source: string, context: Record<string, unknown>): string {
  try {
    template ??= new Template(source)
    return template.render(context)
  } catch (error) {
    throw new EngineError('BAD_TEMPLATE', `the model's chat template refused these messages: ${asError(error).message}`)
  }
}

/** Texts under way that must fit a schema, by number. */
const constraints = new Map<number, Grammar>()
let nextConstraint = 1
/** GBNF by form, as JSON: clients ask for the same one again. */
const grammars = new Map<string, string>()

async function constrain(form: TextForm): Promise<number> {
  if (constraints.size >= MAX_CONSTRAINTS) {
    throw new EngineError('QUEUE_FULL', `${constraints.size} answers with a schema are under way: try later`)
  }
  const key = JSON.stringify(form)
  const text = grammars.get(key) ?? (await grammarOf(form))
  if (grammars.size >= MAX_GRAMMARS) grammars.clear()
  grammars.set(key, text)
  const id = nextConstraint++
  constraints.set(id, vocabulary().grammar(text))
  return id
}

function allow({ constraint, accepted, candidates }: TokenizerCalls['allow']['request']): Uint32Array {
  const grammar = constraints.get(constraint)
  if (grammar === undefined) throw new EngineError('RELEASED', 'this answer is over')
  if (accepted !== undefined) grammar.accept(accepted)
  if (!grammar.isBegun && toolMarks.length > 0) {
    const marks = grammar.allowed(toolMarks)
    // The grammar would have the mark's name in letters too, and no model has seen it so.
    if (marks.length > 0) return marks.filter(token => candidates?.includes(token) ?? true)
  }
  return grammar.allowed(candidates ?? Uint32Array.from({ length: vocabulary().size }, (_, token) => token))
}

function release(constraint: number): null {
  constraints.get(constraint)?.close()
  constraints.delete(constraint)
  return null
}

new CallServer(TOKENIZER_CODECS).serve({
  open: ({ file }) => {
    opened = Vocabulary.open(file)
    const table = opened.table()
    toolMarks = Uint32Array.from(table.toolMarks.keys())
    return table
  },
  tokenize: ({ text, ...options }) => vocabulary().tokenize(text, options),
  render: ({ messages, tools }) => render(messages, tools),
  constrain,
  allow,
  release: ({ constraint }) => release(constraint)
})
