/** An answer, token by token: the prompt in overlapping chunks, then one step a token, sampled here. */
import type { Constraint, RowCandidates, Tokenizer, Want } from '../engine/types.js'
import { MAX_CANDIDATES } from '../../protocol/limits.js'
import { fittingCandidates } from './fitting.js'
import { inFlight } from './in-flight.js'
import { chunkRows } from './prompt.js'
import type { RingSession } from './ring-session.js'
import type { StepAnswer, StepRequest } from './session-types.js'
import { logprobsOf, sampleToken, wantFor, type Logprob, type SamplingOptions, type SoFar } from './sampling.js'
import { TextStream } from './text.js'

export type StopReason = 'stop' | 'length' | 'stop-string' | 'context'

export interface AnswerOptions {
  prompt: Uint32Array
  /** Tokens of the prompt that the stages have already, fewer than all; none by default. */
  cached?: number
  /** Stages of the route: decides how the prompt is cut. */
  stages: number
  sampling: SamplingOptions
  /** How many of the likeliest tokens are told with each token's probability; undefined: no probabilities. */
  logprobs?: number | undefined
  /** What the answer must fit; undefined: anything. */
  constraint?: Constraint | undefined
  stop: readonly string[]
  maxTokens: number
  /** Positions of the model. */
  context: number
}

export type AnswerEvent =
  /** A token was chosen; `text` is what can be shown, often nothing yet. `step` is the step that led to it. */
  | { type: 'token'; token: number; text: string; step: StepAnswer; logprobs?: Logprob & { top: Logprob[] } }
  | { type: 'end'; reason: StopReason; text: string }

const NO_CANDIDATES = { rows: 0, candidates: 0, ids: [], logSumExp: false }

export async function* answer(
  session: Pick<RingSession, 'step' | 'rowsPerStep'>,
  tokenizer: Pick<Tokenizer, 'bytesOf' | 'isEndOfGeneration'>,
  options: AnswerOptions
): AsyncGenerator<AnswerEvent> {
  const { prompt, sampling, logprobs } = options
  const text = new TextStream(options.stop)
  const tokens = Array.from(prompt)
  const soFar: SoFar = { tokens, promptLength: prompt.length }
  /** The same position again, or the next one: what follows the last token. */
  const follow = async (want: Want): Promise<StepAnswer> =>
    session.step({ tokens: Uint32Array.of(tokens.at(-1) ?? 0), position: tokens.length - 1, want })
  let reason: StopReason | undefined
  let step = await prefill(session, options)
  for (;;) {
    const row = candidatesOf(step)
    const fitting = await candidatesThatFit(row, options, { soFar, follow, tokenizer })
    if (fitting === undefined) break
    const token = sampleToken(fitting, soFar, sampling)
    if (tokenizer.isEndOfGeneration(token)) break
    tokens.push(token)
    const piece = text.push(tokenizer.bytesOf(token))
    const probabilities = logprobs === undefined ? undefined : logprobsOf(row, token, logprobs)
    yield { type: 'token', token, text: piece.text, step, ...(probabilities && { logprobs: probabilities }) }
    reason = piece.stopped ? 'stop-string' : limitReached(tokens.length, options)
    if (reason !== undefined) break
    step = await follow(wantOf(options, soFar))
  }
  yield { type: 'end', reason: reason ?? 'stop', text: text.end() }
}

/** With a format more than the best of all: they may not fit. */
function wantOf({ sampling, logprobs, constraint }: AnswerOptions, soFar: SoFar): Want {
  const want = wantFor(sampling, soFar, logprobs)
  return constraint === undefined ? want : { ...want, candidates: MAX_CANDIDATES }
}

function candidatesOf({ rows: [row] }: StepAnswer): RowCandidates {
  if (row === undefined) throw new RangeError('a step that wanted candidates came back without')
  return row
}

/** Undefined where nothing fits any more but the end. */
async function candidatesThatFit(
  row: RowCandidates,
  { constraint }: AnswerOptions,
  {
    soFar: { tokens, promptLength },
    follow,
    tokenizer
  }: {
    soFar: SoFar
    follow: (want: Want) => Promise<StepAnswer>
    tokenizer: Pick<Tokenizer, 'isEndOfGeneration'>
  }
): Promise<RowCandidates | undefined> {
  if (constraint === undefined) return row
  const accepted = tokens.length > promptLength ? tokens.at(-1) : undefined
  const ask = async (want: Want): Promise<RowCandidates> => candidatesOf(await follow(want))
  return fittingCandidates(row, { constraint, accepted, ask }, tokenizer)
}

function limitReached(length: number, { prompt, maxTokens, context }: AnswerOptions): StopReason | undefined {
  if (length >= context) return 'context'
  return length - prompt.length >= maxTokens ? 'length' : undefined
}

/** What the stages do not have of the prompt; the answer to its last chunk has the candidates for the first token. */
async function prefill(
  session: Pick<RingSession, 'step' | 'rowsPerStep'>,
  options: AnswerOptions
): Promise<StepAnswer> {
  let last: StepAnswer | undefined
  for await (const step of inFlight(session, promptSteps(session, options))) last = step
  if (last === undefined) throw new RangeError('an empty prompt')
  return last
}

function* promptSteps(
  { rowsPerStep }: Pick<RingSession, 'rowsPerStep'>,
  options: AnswerOptions
): Generator<StepRequest> {
  const { prompt, cached = 0, stages } = options
  const soFar = { tokens: Array.from(prompt), promptLength: prompt.length }
  let position = cached
  for (const rows of chunkRows(prompt.length - cached, { from: cached, stages, rowsPerStep })) {
    const end = position + rows
    const want = end === prompt.length ? wantOf(options, soFar) : NO_CANDIDATES
    yield { tokens: prompt.slice(position, end), position, want }
    position = end
  }
}
