import type { GenerateEvent, GenerateRequest, RouteStageView } from '../control/contract.js'
import type { ModelLibrary } from '../holding/library.js'
import type { Manifest } from '../models/types.js'
import type { Directory, MissingLayers } from '../swarm/types.js'
import { asError } from '../../protocol/errors.js'
import { AnswerStats } from './answer-stats.js'
import { answer, type AnswerEvent } from './answer.js'
import { abortedWith, cancelled, isOutOfRange, rerouted, stageViews } from './asking.js'
import type { Asked, Carried, Notice, Opening } from './asking.js'
import { offeredModels, resolveModel, type OfferedModel } from './catalogue.js'
import type { EmbedEvent, EmbedRequest } from './embedding-types.js'
import { Embeddings } from './embeddings.js'
import { PipelineError } from './errors.js'
import { Notices } from './notices.js'
import { RingSession, type RingSessionParts } from './ring-session.js'
import { DirectoryPlanner, nextChange } from './route-planner.js'
import { prepare } from './prepared.js'
import { samplingOptions } from './request.js'
import { DEFAULT_MAX_TOKENS } from './sampling.js'
import type { Reroute } from './session-types.js'
import type { TokenizerCache } from './tokenizer-cache.js'
import type { CallPiece, CallStream } from './tool-calls.js'
import { Unsent } from './unsent.js'

export interface OriginParts {
  directory: Directory
  library: Pick<ModelLibrary, 'header'>
  tokenizers: TokenizerCache
  session: Pick<RingSessionParts, 'openChannel' | 'ping' | 'now'>
}

/** Answers prompts: finds the model, plans the route, drives the session and samples. */
export class Origin {
  readonly #parts: OriginParts
  readonly #embeddings: Embeddings
  #answering = 0

  constructor(parts: OriginParts) {
    this.#parts = parts
    this.#embeddings = new Embeddings({
      ...parts,
      resolve: async (request, notices, signal) => this.#resolve(request, notices, signal),
      open: async (asked, options) => this.#open(asked, options)
    })
  }

  /** Answers and requests for embeddings under way. */
  get answering(): number {
    return this.#answering
  }

  /**
   * Events of one answer; ends after `done`. Leaving the loop or aborting the signal frees every stage.
   * @throws PipelineError, EngineError (tokenizer), ModelError (header)
   */
  generate(request: GenerateRequest, { signal }: { signal: AbortSignal }): AsyncGenerator<GenerateEvent> {
    return this.#counted(this.#answerInRange(request, signal), signal)
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

  /** In f16, unless asked otherwise; again in f32 where a hidden state of the prompt turns out too large for it. */
  async *#answerInRange(request: GenerateRequest, signal: AbortSignal): AsyncGenerator<GenerateEvent> {
    let shown = false
    try {
      for await (const event of this.#answer(request, signal)) {
        shown ||= event.event === 'text'
        yield event
      }
    } catch (error) {
      if (shown || request.dtype !== undefined || !isOutOfRange(error)) throw error
      yield* this.#answer({ ...request, dtype: 'f32' }, signal)
    }
  }

  async *#answer(request: GenerateRequest, signal: AbortSignal): AsyncGenerator<GenerateEvent> {
    const stats = new AnswerStats(this.#parts.session.now)
    const notices = new Notices<Notice>()
    const model = yield* notices.until(this.#resolve(request, notices, signal))
    const { manifest, headerFile } = await this.#parts.library.header(model.manifest, { signal })
    using prepared = await prepare(this.#parts.tokenizers, { headerFile, request }, signal)
    const { tokenizer, prompt, constraint, calls } = prepared
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
    const opening = this.#open(
      { model, manifest, context, request },
      { notices, onReroute, signal: ended.controller.signal }
    )
    const session = yield* notices.until(opening)
    const cancel = (): void => session.close(cancelled())
    signal.addEventListener('abort', cancel, { once: true })
    try {
      signal.throwIfAborted()
      const views = (): RouteStageView[] => stageViews(session.stages, session.links)
      yield { event: 'route', stages: views(), promptTokens: prompt.length }
      stats.promptSent()
      const stop = request.sampling.stop ?? []
      const { logprobs } = request.sampling
      const events = answer(session, tokenizer, {
        ...{ prompt, stages: session.stages.length, sampling, logprobs, constraint, stop, maxTokens },
        context: manifest.context
      })
      const unsent = new Unsent(tokenizer)
      let called = false
      for (;;) {
        const next: IteratorResult<AnswerEvent, void> = yield* notices.until(events.next())
        if (next.done === true) throw new RangeError('an answer without an end')
        const event = next.value
        if (event.type === 'token') {
          stats.token(event.step)
          unsent.add(event)
        }
        const piece = calls === undefined ? { text: event.text, calls: [] } : calls.push(event.text)
        if (event.type === 'end') addEnd(piece, calls)
        if (piece.text !== '' || (event.type === 'end' && !unsent.isEmpty)) yield unsent.take(piece.text)
        for (const call of piece.calls) yield { event: 'tool-call', ...call }
        called ||= piece.calls.length > 0
        if (event.type !== 'end') continue
        const summary = stats.summary({ promptTokens: prompt.length, stages: views(), seed: sampling.seed })
        yield { event: 'done', reason: called ? 'tool-calls' : event.reason, stats: summary }
        return // nothing comes after it: a change of the route that was under way is nobody's concern any more
      }
    } finally {
      signal.removeEventListener('abort', cancel)
      session.close()
    }
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

  async #open(
    { model, manifest, context, request }: Asked,
    { notices, onReroute, signal }: Opening
  ): Promise<RingSession> {
    const { directory, session } = this.#parts
    const { dtype = 'f16', replay = 'fast', wait = 0 } = request
    const planner = new DirectoryPlanner(
      { directory, now: session.now, onWaiting: ({ message }) => notices.push({ event: 'waiting', message }) },
      { model, manifest, context, waitMs: wait * 1_000 }
    )
    const { layers, vocabulary, width } = manifest
    const exactReplay = replay === 'exact'
    const plan = { manifest: model.manifest, layers, vocabulary, width, context, dtype, exactReplay }
    const opened = await RingSession.open(
      { ...session, planner, onReroute: reroute => planner.opened && onReroute(reroute) },
      plan,
      { signal }
    )
    planner.opened = true
    return opened
  }
}

/** With what was held back, since it might have been a call. */
function addEnd(piece: CallPiece, calls: CallStream | undefined): void {
  const last = calls?.end()
  if (last === undefined) return
  piece.text += last.text
  piece.calls.push(...last.calls)
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
