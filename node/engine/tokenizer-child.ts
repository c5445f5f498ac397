/** Entry point of a tokenizer's process: its file, and the chat template in it, may be a stranger's. */
import '../compat.js'
import { Template } from '@huggingface/jinja'
import { asError } from '../../protocol/errors.js'
import { CallServer } from './child-server.js'
import { EngineError } from './errors.js'
import { TOKENIZER_CODECS } from './messages.js'
import type { ChatMessage } from './types.js'
import { Vocabulary } from './vocabulary.js'

/** Characters of a rendered prompt. */
const MAX_PROMPT_CHARACTERS = 8 * 1024 * 1024

let opened: Vocabulary | undefined
let template: Template | undefined

function vocabulary(): Vocabulary {
  if (opened === undefined) throw new EngineError('TOKENIZER_LOST', 'no vocabulary has been opened')
  return opened
}

function render(messages: ChatMessage[]): string {
  const { template: source, beginText, endText } = vocabulary()
  if (source === undefined) throw new EngineError('NO_TEMPLATE', 'the model has no chat template: send plain text')
  const prompt = runTemplate(source, {
    messages,
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

new CallServer(TOKENIZER_CODECS).serve({
  open: ({ file }) => {
    opened = Vocabulary.open(file)
    return opened.table()
  },
  tokenize: ({ text, ...options }) => vocabulary().tokenize(text, options),
  render: ({ messages }) => render(messages)
})
