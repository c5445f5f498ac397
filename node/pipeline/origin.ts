import type { GenerateEvent, GenerateRequest, RouteStageView } from '../control/contract.js'
import type { ModelLibrary } from '../holding/library.js'
import type { Manifest } from '../models/types.js'
import type { MissingLayers } from '../swarm/types.js'
import { asError } from '../../protocol/errors.js'
import { AnswerStats } from './answer-stats.js'
import { answer } from './answer.js'
import { abortedWith, cancelled, isOutOfRange, rerouted, stageViews } from './asking.js'
import type { Carried, Notice } from './asking.js'
import { offeredModels, resolveModel, type OfferedModel } from './catalogue.js'
import type { EmbedEvent, EmbedRequest } from './embedding-types.js'
import { Embeddings } from './embeddings.js'
import { PipelineError } from './errors.js'
import { Notices } from './notices.js'
import { prepare } from './prepared.js'
import { stagesToCutFor } from './prompt.js'
import { samplingOptions } from './request.js'
import { nextChange } from './route-planner.js'
import { DEFAULT_MAX_TOKENS } from './sampling.js'
import { Sessions, type SessionsParts } from './sessions.js'
import type { Reroute } from './session-types.js'
import { told, type TokenEvent } from './telling.js'
import type { TokenizerCache } from './tokenizer-cache.js'

export interface OriginParts extends SessionsParts {
  library: Pick<ModelLibrary, 'header'>
  tokenizers: TokenizerCache
}

/** On whose behalf, where nobody else is named. */
const OWNER = 'owner'

/** How an answer is tried. */
interface Attempt {
  request: GenerateRequest
  caller: string
  /** It must not go on from an earlier answer. */
  fresh: boolean
}

/** Answers prompts: finds the model, plans the route, drives the session and samples. */
export class Origin {
  readonly #parts: OriginParts
  readonly #sessions: Sessions
  readonly #embeddings: Embeddings
  #answering = 0

  constructor(parts: OriginParts) {
    this.#parts = parts
    const sessions = new Sessions(parts)
    this.#sessions = sessions
    this.#embeddings = new Embeddings({
      ...parts,
      resolve: async (request, notices, signal) => this.#resolve(request, notices, signal),
      open: async (asked, opening) => sessions.openNew(asked, opening)
    })
  }

  /** Frees what earlier answers have left on the stages. */
  stop(): void {
    this.#sessions.stop()
  }

  /** Answers and requests for embeddings under way. */
  get answering(): number {
    return this.#answering
  }

  /**
   * Events of one answer; ends after `done`. Leaving the loop or aborting the signal frees every stage.
   * @throws PipelineError, EngineError (tokenizer), ModelError (header)
   */
  generate(
    request: GenerateRequest,
    { signal, caller = OWNER }: { signal: AbortSignal; caller?: string | undefined }
  ): AsyncGenerator<GenerateEvent> {
    return this.#counted(this.#answerAtLast({ request, caller, fresh: false }, signal), signal)
  }

  /** Vectors of texts; ends after `vectors`, and is otherwise as an answer. @throws the same */
  embed(request: EmbedRequest, { signal }: { signal: AbortSignal }): AsyncGenerator<EmbedEvent> {
    return this.#counted(this.#embeddings.events(request, signal), signal)
  }

  async *#counted<E>(events: AsyncGenerator<E>, signal: AbortSignal): AsyncGenerator<E> {
    this.#answering++
    try {
      yield* events
    } catch (error) {
      throw signal.aborted ? cancelled() : asError(error)
    } finally {
      this.#answering--
    }
  }

  /** Another attempt where one fails before anything was shown and another one may do better. */
  async *#answerAtLast(attempt: Attempt, signal: AbortSignal): AsyncGenerator<GenerateEvent> {
    let shown = false
    let cached = 0
    try {
      for await (const event of this.#answer(attempt, signal)) {
        shown ||= event.event === 'text' || event.event === 'tool-call'
        if (event.event === 'route') cached = event.cachedTokens
        yield event
      }
    } catch (error) {
      const next = signal.aborted || shown ? undefined : nextAttempt(attempt, cached, error)
      if (next === undefined) throw error
      yield* this.#answerAtLast(next, signal)
    }
  }

  async *#answer({ request, caller, fresh }: Attempt, signal: AbortSignal): AsyncGenerator<GenerateEvent> {
    const stats = new AnswerStats(this.#parts.session.now)
    const notices = new Notices<Notice>()
    const model = yield* notices.until(this.#resolve(request, notices, signal))
    const { manifest, headerFile } = await this.#parts.library.header(model.manifest, { signal })
    using prepared = await prepare(this.#parts.tokenizers, { headerFile, request }, signal)
    const { tokenizer, speech, prompt, constraint } = prepared
    const sampling = samplingOptions(request)
    for (const token of sampling.logitBias.keys()) tokenizer.bytesOf(token) // throws where there is no such token
    const room = checkContext(manifest, prompt.length)
    const maxTokens = Math.min(request.sampling.maxTokens ?? DEFAULT_MAX_TOKENS, room)
    const context = prompt.length + maxTokens
    const onReroute = (reroute: Reroute): void => {
      stats.rerouted()
      notices.push(rerouted(reroute))
    }
    // The reader may leave while it is told what is waited for.
    using ended = abortedWith(signal)
    const asked = { model, manifest, context, prompt, request, caller, fresh }
    const opening = this.#sessions.open(asked, { notices, onReroute, signal: ended.controller.signal })
    using opened = yield* notices.until(opening)
    const { session, cached } = opened
    const views = (): RouteStageView[] => stageViews(session.stages, session.links)
    const facts = { promptTokens: prompt.length, cachedTokens: cached }
    yield { event: 'route', stages: views(), ...facts }
    stats.promptSent()
    const { logprobs, stop = [] } = request.sampling
    const stages = stagesToCutFor(request, session.stages.length)
    const options = { prompt, cached, stages, sampling, logprobs, constraint, stop, maxTokens }
    const events = answer(session, speech, { ...options, context: manifest.context })
    const tokens = [...prompt]
    const onToken = ({ token, step }: TokenEvent): void => {
      stats.token(step)
      tokens.push(token)
    }
    const reason = yield* told(events, prepared, { notices, onToken })
    const summary = stats.summary({ ...facts, stages: views(), seed: sampling.seed })
    opened.keep(tokens)
    // Nothing comes after it: a change of the route that was under way is nobody's concern any more.
    yield { event: 'done', reason, stats: summary }
  }

  /** Asks the swarm once more before it says that nobody has the model; with `wait`, until somebody does. */
  async #resolve({ model, wait = 0 }: Carried, notices: Notices<Notice>, signal: AbortSignal): Promise<OfferedModel> {
    const { directory, session } = this.#parts
    const began = session.now()
    for (let attempt = 0; ; attempt++) {
      const found = this.#look(model)
      const waits = session.now() - began < wait * 1_000
      if (!(found instanceof PipelineError) && (found.missing.length === 0 || attempt > 0)) return found
      if (found instanceof PipelineError && attempt > 0 && !waits) throw found
      if (found instanceof PipelineError && attempt === 1) notices.push({ event: 'waiting', message: found.message })
      if (attempt > 0) await nextChange(directory, signal)
      const missing = found instanceof PipelineError ? undefined : { manifest: found.manifest, layers: found.missing }
      await directory.refresh({ signal, ...(missing && ({ missing } satisfies { missing: MissingLayers })) })
    }
  }

  #look(wanted: string): OfferedModel | PipelineError {
    try {
      return resolveModel(offeredModels(this.#parts.directory.nodes()), wanted)
    } catch (error) {
      if (error instanceof PipelineError) return error
      throw error
    }
  }
}

/** From the beginning where it went on from an earlier answer, then in f32 where f16 is too small; undefined: it is no use. */
function nextAttempt(attempt: Attempt, cached: number, error: unknown): Attempt | undefined {
  const { request } = attempt
  if (cached > 0) return { ...attempt, fresh: true }
  return request.dtype === undefined && isOutOfRange(error)
    ? { ...attempt, request: { ...request, dtype: 'f32' } }
    : undefined
}

/** Positions left for the answer. */
function checkContext({ name, context }: Manifest, promptLength: number): number {
  if (promptLength < context) return context - promptLength
  throw new PipelineError(
    'CONTEXT_EXCEEDED',
    `The prompt has ${promptLength} tokens, and ${name} has room for ${context} with the answer. Shorten the prompt.`,
    { details: { promptTokens: promptLength, context } }
  )
}
