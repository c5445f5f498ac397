import type { GenerateRequest } from '../control/contract.js'
import type { Constraint, Tokenizer } from '../engine/types.js'
import { promptTokens } from './request.js'
import type { TokenizerCache } from './tokenizer-cache.js'

/** What an answer needs of the tokenizer. */
export interface Prepared extends Disposable {
  /** Makes text of tokens, also after its process has ended. */
  tokenizer: Tokenizer
  /** Token ids. */
  prompt: Uint32Array
  /** What the answer must fit; undefined: anything. */
  constraint: Constraint | undefined
}

/**
 * Only an answer that must fit a format needs the tokenizer's process to its end.
 * @throws EngineError (tokenizer), PipelineError EMPTY_PROMPT
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
    const prompt = await promptTokens(tokenizer, request, signal)
    constraint = request.format && (await tokenizer.constrain(request.format.schema, { signal }))
    const dispose = (): void => {
      if (constraint === undefined) return
      constraint.close()
      borrowed[Symbol.dispose]()
    }
    return { tokenizer, prompt, constraint, [Symbol.dispose]: dispose }
  } finally {
    if (constraint === undefined) borrowed[Symbol.dispose]()
  }
}
