/** What a request means before any stage is asked: token ids and sampling options. */
import { randomInt } from 'node:crypto'
import type { GenerateRequest } from '../control/contract.js'
import type { ChatMessage, Tokenizer } from '../engine/types.js'
import { PipelineError } from './errors.js'
import { DEFAULT_SAMPLING, type SamplingOptions } from './sampling.js'

/** Seeds are drawn below this. */
const SEED_LIMIT = 2 ** 32

/** Through the model's chat template, or as plain text where it has none or `raw` asks for it. */
export async function promptTokens(
  tokenizer: Tokenizer,
  request: GenerateRequest,
  signal: AbortSignal
): Promise<Uint32Array> {
  const messages = conversation(request)
  const asChat = request.raw !== true && tokenizer.hasChatTemplate
  const { tools, toolChoice } = request
  const text = asChat
    ? await tokenizer.renderChat(messages, { ...(tools && toolChoice !== 'none' && { tools }), signal })
    : messages.map(({ content }) => content).join('\n')
  // A chat template writes the special tokens itself; its beginning-of-text, where it has one, is not added twice.
  const tokens = await tokenizer.tokenize(text, { addSpecial: !asChat, special: asChat, signal })
  if (tokens.length === 0) throw new PipelineError('EMPTY_PROMPT', 'The prompt is empty: there is nothing to answer.')
  return tokens
}

function conversation({ prompt, messages }: GenerateRequest): ChatMessage[] {
  return messages ?? [{ role: 'user', content: prompt ?? '' }]
}

export function samplingOptions({ sampling }: GenerateRequest): SamplingOptions {
  const { temperature, topK, topP, minP, repeatPenalty, presencePenalty, frequencyPenalty, logitBias = {} } = sampling
  return {
    temperature: temperature ?? DEFAULT_SAMPLING.temperature,
    topK: topK ?? DEFAULT_SAMPLING.topK,
    topP: topP ?? DEFAULT_SAMPLING.topP,
    minP: minP ?? DEFAULT_SAMPLING.minP,
    repeatPenalty: repeatPenalty ?? DEFAULT_SAMPLING.repeatPenalty,
    presencePenalty: presencePenalty ?? DEFAULT_SAMPLING.presencePenalty,
    frequencyPenalty: frequencyPenalty ?? DEFAULT_SAMPLING.frequencyPenalty,
    logitBias: new Map(Object.entries(logitBias).map(([token, bias]) => [Number(token), bias])),
    seed: sampling.seed ?? randomInt(SEED_LIMIT)
  }
}
