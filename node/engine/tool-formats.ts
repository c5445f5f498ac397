/** How chat templates ask for tools. */
import type { ToolFormat } from './types.js'

/** GLM writes these inside Hermes' tags. */
const UNKNOWN_ARGUMENTS = ['<arg_key>']
const TAGGED_ARGUMENTS = ['<function=', '<parameter=']

/** Undefined where the template has no tools, or asks for them in a way that is not known here. */
export function toolFormatOf(template: string | undefined): ToolFormat | undefined {
  if (template === undefined || !/\btools\b/.test(template)) return undefined
  const has = (word: string): boolean => template.includes(word)
  if (has('[TOOL_CALLS]')) return has('[ARGS]') ? 'mistral-args' : 'mistral'
  if (has('<tool_call>')) {
    if (UNKNOWN_ARGUMENTS.some(has)) return undefined
    if (TAGGED_ARGUMENTS.every(has)) return 'qwen3-coder'
    return TAGGED_ARGUMENTS.some(has) ? undefined : 'hermes'
  }
  return has('ipython') && has('"parameters"') ? 'llama3' : undefined
}

/** What calls are marked with. In many a vocabulary these are control tokens, which stand for no text. */
export const TOOL_MARKS: Readonly<Record<ToolFormat, readonly string[]>> = {
  hermes: ['<tool_call>', '</tool_call>'],
  llama3: [],
  mistral: ['[TOOL_CALLS]'],
  'mistral-args': ['[TOOL_CALLS]', '[CALL_ID]', '[ARGS]'],
  'qwen3-coder': ['<tool_call>', '</tool_call>']
}
