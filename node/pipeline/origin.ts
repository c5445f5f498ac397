import type { GenerateEvent, GenerateRequest, RouteStageView } from '../control/contract.js'
import type { Tokenizer } from '../engine/types.js'
import type { ModelLibrary } from '../holding/library.js'
import type { Manifest } from '../models/types.js'
import type { Directory, MissingLayers, NodeView } from '../swarm/types.js'
import { asError } from '../../protocol/errors.js'
import type { FaultName } from '../../protocol/protocol-error.js'
import { AnswerStats } from './answer-stats.js'
import { answer } from './answer.js'
import { missingLayers } from '../scheduler/coverage.js'
import { incompleteModel, offeredModels, resolveModel, type OfferedModel } from './catalogue.js'
import { PipelineError } from './errors.js'
import { RingSession, type RingSessionParts, type SessionStage } from './ring-session.js'
import { chooseRoute } from './route.js'
import { promptTokens, samplingOptions } from './request.js'
import { DEFAULT_MAX_TOKENS } from './sampling.js'
import type { TokenizerCache } from './tokenizer-cache.js'

/** Routes that are tried before an answer is given up; each leaves out the peers that failed before. */
const ROUTE_ATTEMPTS = 4
/** After these the tokenizer's process is no more: the next prompt opens another one. */

export interface OriginParts {
  directory: Directory
  library: Pick<ModelLibrary, 'header'>
  tokenizers: TokenizerCache
  session: RingSessionParts
}

interface OpenRoute {
  session: RingSession
  stages: SessionStage[]
  nodes: readonly NodeView[]
}

/** Answers prompts: finds the model, plans the route, drives the session and samples. */
export class Origin {
  readonly #parts: OriginParts
  #answering = 0

  constructor(parts: OriginParts) {
    this.#parts = parts
  }

  /** Answers under way. */
  get answering(): number {
    return this.#answering
  }

  /**
   * Events of one answer; ends after `done`. Leaving the loop or aborting the signal frees every stage.
   * @throws PipelineError, EngineError (tokenizer), ModelError (header)
   */
  async *generate(request: GenerateRequest, { signal }: { signal: AbortSignal }): AsyncGenerator<GenerateEvent> {
    this.#answering++
    try {
      yield* this.#answerInRange(request, signal)
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
    const { now } = this.#parts.session
    const stats = new AnswerStats(now)
    const model = await this.#resolve(request.model, signal)
    const { manifest, headerFile } = await this.#parts.library.header(model.manifest, { signal })
    const { tokenizer, prompt } = await this.#tokenize(headerFile, request, signal)
    const room = checkContext(manifest, prompt.length)
    const maxTokens = Math.min(request.sampling.maxTokens ?? DEFAULT_MAX_TOKENS, room)
    const context = prompt.length + maxTokens
    const route = await this.#openRoute({ model, manifest, context, dtype: request.dtype ?? 'f16' }, signal)
    const cancel = (): void => route.session.close(cancelled())
    signal.addEventListener('abort', cancel, { once: true })
    try {
      signal.throwIfAborted()
      const stages = stageViews(route)
      yield { event: 'route', stages, promptTokens: prompt.length }
      stats.promptSent()
      const sampling = samplingOptions(request)
      const stop = request.sampling.stop ?? []
      const options = { prompt, stages: stages.length, sampling, stop, maxTokens, context: manifest.context }
      let unsent: number[] = []
      for await (const event of answer(route.session, tokenizer, options)) {
        if (event.type === 'token') {
          stats.token(event.step)
          unsent.push(event.token)
        }
        if (event.text !== '' || (event.type === 'end' && unsent.length > 0)) {
          yield { event: 'text', text: event.text, tokens: unsent }
          unsent = []
        }
        if (event.type !== 'end') continue
        const summary = stats.summary({ promptTokens: prompt.length, stages, seed: sampling.seed })
        yield { event: 'done', reason: event.reason, stats: summary }
      }
    } finally {
      signal.removeEventListener('abort', cancel)
      route.session.close()
    }
  }

  async #tokenize(
    headerFile: string,
    request: GenerateRequest,
    signal: AbortSignal
  ): Promise<{ tokenizer: Tokenizer; prompt: Uint32Array }> {
    const tokenize = async (tokenizer: Tokenizer): Promise<{ tokenizer: Tokenizer; prompt: Uint32Array }> => ({
      tokenizer,
      prompt: await promptTokens(tokenizer, request, signal)
    })
    // Text is made of tokens without its process.
    return this.#parts.tokenizers.use(headerFile, tokenize, { signal })
  }

  /** Asks the swarm once more before it says that nobody has the model, or not all of it. */
  async #resolve(wanted: string, signal: AbortSignal): Promise<OfferedModel> {
    const { directory } = this.#parts
    const look = (): OfferedModel => resolveModel(offeredModels(directory.nodes()), wanted)
    let missing: MissingLayers | undefined
    try {
      const model = look()
      if (model.missing.length === 0) return model
      missing = { manifest: model.manifest, layers: model.missing }
    } catch (error) {
      if (!(error instanceof PipelineError)) throw error
    }
    await directory.refresh({ signal, ...(missing && { missing }) })
    return look()
  }

  /** A stale view of the swarm costs a failed attempt, not the answer. */
  async #openRoute(
    plan: { model: OfferedModel; manifest: Manifest; context: number; dtype: 'f16' | 'f32' },
    signal: AbortSignal
  ): Promise<OpenRoute> {
    const { model, manifest, context, dtype } = plan
    const exclude = new Set<string>()
    const gone = new Set<string>()
    for (let attempt = 1; ; attempt++) {
      const nodes = this.#parts.directory.nodes()
      const stages = chooseRoute({ model, manifest, nodes, context, exclude })
      const { vocabulary } = manifest
      try {
        const session = await RingSession.open(
          this.#parts.session,
          { manifest: model.manifest, vocabulary, stages, context, dtype },
          { signal }
        )
        return { session, stages, nodes }
      } catch (error) {
        const peer = error instanceof PipelineError ? error.details['peer'] : undefined
        if (signal.aborted || typeof peer !== 'string' || attempt === ROUTE_ATTEMPTS) throw error
        exclude.add(peer)
        if (error instanceof PipelineError && error.code === 'STAGE_LOST') gone.add(peer)
        if (!canReplan({ model, manifest, nodes, context, exclude })) throw withoutGone(model, gone) ?? error
      }
    }
  }
}

function isOutOfRange(error: unknown): boolean {
  return error instanceof PipelineError && error.details['status'] === ('OUT_OF_RANGE' satisfies FaultName)
}

/** Whether a route is left once these peers are left out; if not, the reason why the last one failed says more. */
function canReplan(input: Parameters<typeof chooseRoute>[0]): boolean {
  try {
    chooseRoute(input)
    return true
  } catch {
    return false
  }
}

/** The error for layers that nobody serves once these peers are taken to be gone; undefined where others serve them. */
function withoutGone(model: OfferedModel, gone: ReadonlySet<string>): PipelineError | undefined {
  const serving = model.holders.filter(holder => holder.serving)
  const missing = missingLayers(
    model.layers,
    serving.filter(({ peer }) => !gone.has(peer))
  )
  if (missing.length === 0) return undefined
  const absent = serving.filter(({ peer }) => gone.has(peer)).map(({ peer, name }) => name || peer.slice(-8))
  return incompleteModel({ ...model, missing }, [...new Set(absent)])
}

const cancelled = (): PipelineError => new PipelineError('CANCELLED', 'The answer was cancelled.')

/** Positions left for the answer. */
function checkContext({ name, context }: Manifest, promptLength: number): number {
  if (promptLength < context) return context - promptLength
  throw new PipelineError(
    'CONTEXT_EXCEEDED',
    `The prompt has ${promptLength} tokens, and ${name} has room for ${context} with the answer. Shorten the prompt.`,
    { details: { promptTokens: promptLength, context } }
  )
}

function stageViews({ session, stages, nodes }: OpenRoute): RouteStageView[] {
  const { links } = session
  return stages.map(({ peer, start, leave, local }, i) => {
    const node = nodes.find(view => view.peer === peer)
    return {
      peer,
      name: node?.record.name ?? '',
      start,
      end: leave,
      local,
      link: i === stages.length - 1 ? 'origin' : links[i] === 'star' ? 'star' : 'direct'
    }
  })
}
