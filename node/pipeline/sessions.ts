import type { GenerateRequest } from '../control/contract.js'
import type { Manifest } from '../models/types.js'
import type { Directory } from '../swarm/types.js'
import type { OfferedModel } from './catalogue.js'
import { PipelineError } from './errors.js'
import { KeptSessions, type KeptSession } from './kept-sessions.js'
import { RingSession, type RingSessionParts } from './ring-session.js'
import { DirectoryPlanner } from './route-planner.js'
import type { Reroute } from './session-types.js'

export interface SessionsParts {
  directory: Directory
  session: Pick<RingSessionParts, 'openChannel' | 'ping' | 'now'>
}

export interface Asked {
  model: OfferedModel
  manifest: Manifest
  /** Positions of prompt and answer. */
  context: number
  prompt: Uint32Array
  request: GenerateRequest
  /** On whose behalf. */
  caller: string
  /** It must not go on from an earlier answer. */
  fresh: boolean
}

export interface SessionEvents {
  onReroute: (reroute: Reroute) => void
  onWaiting: (why: PipelineError) => void
}

interface Found {
  session: RingSession
  /** Tokens of the prompt that its stages have already, never all of them; 0: it is a new session. */
  cached: number
}

/** Until it is disposed of; kept after that for the next turn of the conversation, or closed. */
export interface OpenedSession extends Found, Disposable {
  /** The answer is over. @param tokens of prompt and answer */
  keep(tokens: readonly number[]): void
}

interface Kept extends KeptSession {
  session: RingSession
}

/** An origin's sessions: new ones, and those of earlier answers that the next turn of a conversation goes on from. */
export class Sessions {
  readonly #parts: SessionsParts
  readonly #kept = new KeptSessions<Kept>()

  constructor(parts: SessionsParts) {
    this.#parts = parts
  }

  /** @param signal closes the session until it is disposed of. @throws PipelineError; the signal's reason */
  async open(asked: Asked, events: SessionEvents, { signal }: { signal: AbortSignal }): Promise<OpenedSession> {
    const found = (await this.#resume(asked, events, signal)) ?? (await this.#openNew(asked, events, signal))
    const { session } = found
    const cancel = (): void => session.close(cancelled())
    if (signal.aborted) cancel()
    signal.addEventListener('abort', cancel, { once: true })
    const letGo = (): void => signal.removeEventListener('abort', cancel)
    let isKept = false
    return {
      ...found,
      keep: tokens => {
        letGo()
        isKept = this.#keep(asked, session, tokens)
      },
      [Symbol.dispose]: () => {
        letGo()
        if (!isKept) session.close()
      }
    }
  }

  /** Frees those that are kept. */
  stop(): void {
    this.#kept.stop()
  }

  /** False where it cannot be: it is of no use any more. */
  #keep(asked: Asked, session: RingSession, tokens: readonly number[]): boolean {
    if (isExact(asked.request) || !session.rest()) return false
    this.#kept.keep({ key: keyOf(asked), session, tokens: Uint32Array.from(tokens.slice(0, session.rows)) })
    return true
  }

  async #resume(asked: Asked, events: SessionEvents, signal: AbortSignal): Promise<Found | undefined> {
    const { prompt, context, request, fresh } = asked
    if (fresh || isExact(request)) return undefined
    const found = this.#kept.take(keyOf(asked), prompt)
    if (found === undefined) return undefined
    const { session } = found.kept
    const planner = this.#planner(asked, events)
    planner.opened = true
    try {
      await session.resume({ context, planner, onReroute: events.onReroute }, { signal })
      return { session, cached: found.shared }
    } catch {
      session.close()
      signal.throwIfAborted()
      return undefined // a stage has ended it, which is no harm
    }
  }

  async #openNew(asked: Asked, events: SessionEvents, signal: AbortSignal): Promise<Found> {
    const { model, manifest, context, request } = asked
    const { dtype = 'f16' } = request
    const planner = this.#planner(asked, events)
    const { layers, vocabulary } = manifest
    const exactReplay = request.replay === 'exact'
    const session = await RingSession.open(
      { ...this.#parts.session, planner, onReroute: reroute => planner.opened && events.onReroute(reroute) },
      { manifest: model.manifest, layers, vocabulary, context, dtype, exactReplay },
      { signal }
    )
    planner.opened = true
    return { session, cached: 0 }
  }

  #planner({ model, manifest, context, request }: Asked, { onWaiting }: SessionEvents): DirectoryPlanner {
    const { directory, session } = this.#parts
    const waitMs = (request.wait ?? 0) * 1_000
    return new DirectoryPlanner({ directory, now: session.now, onWaiting }, { model, manifest, context, waitMs })
  }
}

/** For who has left. */
export const cancelled = (): PipelineError => new PipelineError('CANCELLED', 'The answer was cancelled.')

/** What an answer rounds to depends on the steps in which its prompt is read, and so on what is there already. */
function isExact({ replay, sampling }: GenerateRequest): boolean {
  return replay === 'exact' || sampling.seed !== undefined
}

function keyOf({ caller, model, request: { dtype = 'f16' } }: Asked): string {
  return `${caller} ${model.manifest} ${dtype}`
}
