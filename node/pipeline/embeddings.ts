/**
 * Vectors of texts: the hidden state of each text's last token after the output norm, of which only the direction counts.
 * A text goes through the stages like a prompt.
 */
import type { ModelLibrary } from '../holding/library.js'
import { readGguf } from '../models/gguf.js'
import { whyNoEmbeddings } from '../models/pooling.js'
import type { Manifest } from '../models/types.js'
import { abortedWith, cancelled, isOutOfRange, rerouted, stageViews } from './asking.js'
import type { Asked, Carried, Notice, Opening } from './asking.js'
import type { OfferedModel } from './catalogue.js'
import { checkDimensions, checkTokens, embeddedTokens, sessionsOf } from './embedding-input.js'
import type { EmbedEvent, EmbedRequest } from './embedding-types.js'
import { PipelineError } from './errors.js'
import { inFlight } from './in-flight.js'
import { Notices } from './notices.js'
import { chunkRows } from './prompt.js'
import type { RingSession } from './ring-session.js'
import type { StepRequest } from './session-types.js'
import type { TokenizerCache } from './tokenizer-cache.js'
import { unitVector } from './vector.js'

export interface EmbeddingsParts {
  library: Pick<ModelLibrary, 'header'>
  tokenizers: TokenizerCache
  /** Finds the model in the swarm. */
  resolve: (request: Carried, notices: Notices<Notice>, signal: AbortSignal) => Promise<OfferedModel>
  open: (asked: Asked, opening: Opening) => Promise<RingSession>
}

interface Found {
  model: OfferedModel
  manifest: Manifest
  headerFile: string
}

/** Models whose headers are remembered: the answer is a sentence at most. */
const MAX_HEADERS = 64
const NOTHING = { rows: 0, candidates: 0, ids: [], logSumExp: false }
const EMBEDDING = { ...NOTHING, rows: 1, embedding: true }

export class Embeddings {
  readonly #parts: EmbeddingsParts
  /** By manifest, why there are no embeddings. */
  readonly #reasons = new Map<string, string | undefined>()

  constructor(parts: EmbeddingsParts) {
    this.#parts = parts
  }

  /**
   * In f16, unless asked otherwise; all again in f32 where a hidden state turns out too large for it.
   * @throws PipelineError, EngineError (tokenizer), ModelError (header)
   */
  async *events(request: EmbedRequest, signal: AbortSignal): AsyncGenerator<EmbedEvent> {
    try {
      yield* this.#embed(request, signal)
    } catch (error) {
      if (request.dtype !== undefined || !isOutOfRange(error)) throw error
      yield* this.#embed({ ...request, dtype: 'f32' }, signal)
    }
  }

  async *#embed(request: EmbedRequest, signal: AbortSignal): AsyncGenerator<EmbedEvent> {
    const notices = new Notices<Notice>()
    const model = yield* notices.until(this.#parts.resolve(request, notices, signal))
    const found = { model, ...(await this.#parts.library.header(model.manifest, { signal })) }
    await this.#checkModel(found, signal)
    const dimensions = checkDimensions(request, found.manifest)
    const inputs = await this.#tokens(request, found, signal)
    const vectors: Float32Array[] = []
    for (const texts of sessionsOf(inputs)) {
      const session = yield* this.#opened({ request, found, texts }, { notices, signal })
      using _closed = closedAtTheEnd(session, signal)
      if (vectors.length === 0) {
        const promptTokens = inputs.reduce((sum, { length }) => sum + length, 0)
        yield { event: 'route', stages: stageViews(session.stages, session.links), promptTokens, cachedTokens: 0 }
      }
      const answers = inFlight(session, stepsOf(texts, session))
      for (;;) {
        const next = yield* notices.until(answers.next())
        if (next.done === true) break
        const embedding = next.value.rows[0]?.embedding
        if (embedding !== undefined) vectors.push(unitVector(embedding, dimensions))
      }
    }
    yield { event: 'vectors', vectors }
  }

  /** The reader may leave while it is told what is waited for. */
  async *#opened(
    { request, found, texts }: { request: Carried; found: Found; texts: readonly Uint32Array[] },
    { notices, signal }: Pick<Opening, 'notices' | 'signal'>
  ): AsyncGenerator<Notice, RingSession> {
    using ended = abortedWith(signal)
    const context = Math.max(...texts.map(({ length }) => length))
    const opening = {
      notices,
      onReroute: (reroute: Parameters<Opening['onReroute']>[0]) => notices.push(rerouted(reroute)),
      signal: ended.controller.signal
    }
    return yield* notices.until(this.#parts.open({ ...found, context, request }, opening))
  }

  async #tokens(
    { input }: EmbedRequest,
    { manifest, headerFile }: Found,
    signal: AbortSignal
  ): Promise<readonly Uint32Array[]> {
    using borrowed = await this.#parts.tokenizers.borrow(headerFile, { signal })
    const inputs: Uint32Array[] = []
    let total = 0
    for (const [number, one] of input.entries()) {
      const tokens = await embeddedTokens(borrowed.tokenizer, one, signal)
      total += tokens.length
      checkTokens({ number, tokens, total }, manifest)
      inputs.push(tokens)
    }
    return inputs
  }

  async #checkModel({ model, headerFile }: Found, signal: AbortSignal): Promise<void> {
    const { manifest, name } = model
    if (!this.#reasons.has(manifest)) {
      const { metadata } = await readGguf(headerFile, { signal })
      if (this.#reasons.size >= MAX_HEADERS) this.#reasons.clear()
      this.#reasons.set(manifest, whyNoEmbeddings(metadata))
    }
    const why = this.#reasons.get(manifest)
    if (why === undefined) return
    const message = `${name} ${why}. Models that pool by the last token can be asked, such as Qwen3 Embedding.`
    throw new PipelineError('NO_EMBEDDINGS', message, { details: { manifest } })
  }
}

/** Each text from position 0 on, which makes the stages forget the one before it. */
function* stepsOf(texts: readonly Uint32Array[], session: RingSession): Generator<StepRequest> {
  for (const text of texts) {
    const { rowsPerStep, stages } = session
    let position = 0
    for (const rows of chunkRows(text.length, { from: 0, stages: stages.length, rowsPerStep })) {
      const end = position + rows
      yield { tokens: text.slice(position, end), position, want: end === text.length ? EMBEDDING : NOTHING }
      position = end
    }
  }
}

function closedAtTheEnd(session: RingSession, signal: AbortSignal): Disposable {
  const cancel = (): void => session.close(cancelled())
  signal.addEventListener('abort', cancel, { once: true })
  if (signal.aborted) cancel()
  const dispose = (): void => {
    signal.removeEventListener('abort', cancel)
    session.close()
  }
  return { [Symbol.dispose]: dispose }
}
