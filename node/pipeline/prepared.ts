import type { GenerateRequest } from '../control/contract.js'
import { EngineError } from '../engine/errors.js'
import type { Constraint, TextForm, Tokenizer, ToolFormat } from '../engine/types.js'
import { promptTokens } from './request.js'
import type { TokenizerCache } from './tokenizer-cache.js'
import { callForm } from './tools/call-form.js'
import { CallStream } from './tools/call-stream.js'

export type Speech = Pick<Tokenizer, 'bytesOf' | 'isEndOfGeneration'>

/** What an answer needs of the tokenizer. */
export interface Prepared extends Disposable {
  /** Makes text of tokens, also after its process has ended. */
  tokenizer: Tokenizer
  /** The same for what an answer says; with the marks of calls, where these are looked for. */
  speech: Speech
  /** Token ids. */
  prompt: Uint32Array
  /** What the answer must fit; undefined: anything. */
  constraint: Constraint | undefined
  /** Tells calls of tools from text; undefined where it may not ask for any. */
  calls: CallStream | undefined
}

/**
 * Only an answer that must fit a format needs the tokenizer's process to its end.
 * @throws EngineError (tokenizer, NO_TOOLS, BAD_SCHEMA), PipelineError EMPTY_PROMPT
 */
export async function prepare(
  tokenizers: TokenizerCache,
  { headerFile, request }: { headerFile: string; request: GenerateRequest },
  signal: AbortSignal
): Promise<Prepared> {
  const borrowed = await tokenizers.borrow(headerFile, { signal })
  const { tokenizer } = borrowed
  let constraint: Constraint | undefined
  try {
    const format = toolFormatFor(tokenizer, request)
    const prompt = await promptTokens(tokenizer, request, signal)
    const form = formOf(request, format)
    constraint = form && (await tokenizer.constrain(form, { signal }))
    const calls = format && new CallStream(format, request.tools ?? [])
    const speech = calls === undefined ? tokenizer : withMarks(tokenizer)
    const dispose = (): void => {
      if (constraint === undefined) return
      constraint.close()
      borrowed[Symbol.dispose]()
    }
    return { tokenizer, speech, prompt, constraint, calls, [Symbol.dispose]: dispose }
  } finally {
    if (constraint === undefined) borrowed[Symbol.dispose]()
  }
}

/** Undefined where there are no tools, or they must not be used. */
function toolFormatFor(
  { toolFormat }: Tokenizer,
  { model, tools, toolChoice }: GenerateRequest
): ToolFormat | undefined {
  if (tools === undefined || toolChoice === 'none') return undefined
  if (toolFormat !== undefined) return toolFormat
  throw new EngineError(
    'NO_TOOLS',
    `The chat template of ${model} has no tools, or asks for them in a way that is not known here. Ask without tools.`
  )
}

function formOf(
  { format, tools = [], toolChoice }: GenerateRequest,
  toolFormat: ToolFormat | undefined
): TextForm | undefined {
  if (toolFormat === undefined || toolChoice === undefined || toolChoice === 'auto') {
    return format && { oneOf: [[{ schema: format.schema }]] }
  }
  const chosen = typeof toolChoice === 'object' ? tools.filter(({ name }) => name === toolChoice.name) : tools
  return callForm(chosen, toolFormat)
}

/** Control tokens stand for no text: of those that mark a call their names are taken, or it could not be told from text. */
function withMarks(tokenizer: Tokenizer): Speech {
  const encoder = new TextEncoder()
  const marks = new Map(
    Array.from(tokenizer.toolMarks, ([token, name]): [number, Uint8Array] => [token, encoder.encode(name)])
  )
  return {
    bytesOf: token => marks.get(token) ?? tokenizer.bytesOf(token),
    isEndOfGeneration: token => tokenizer.isEndOfGeneration(token)
  }
}
