import type { GenerateRequest } from '../control/contract.js'
import type { Directory } from '../swarm/types.js'
import { cancelled, type Asked, type Opening } from './asking.js'
import type { PipelineError } from './errors.js'
import { KeptSessions, type KeptSession } from './kept-sessions.js'
import { RingSession, type RingSessionParts } from './ring-session.js'
import { DirectoryPlanner } from './route-planner.js'

export interface SessionsParts {
  directory: Directory
  session: Pick<RingSessionParts, 'openChannel' | 'ping' | 'now'>
}

/** An answer that a session is wanted for. */
export interface AskedAnswer extends Asked {
  prompt: Uint32Array
  request: GenerateRequest
  /** On whose behalf. */
  caller: string
  /** It must not go on from an earlier answer. */
  fresh: boolean
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

  /** Its signal closes the session until that is disposed of. @throws PipelineError; the signal's reason */
  async open(asked: AskedAnswer, opening: Opening): Promise<OpenedSession> {
    const { signal } = opening
    const resumed = await this.#resume(asked, opening)
    const found = resumed ?? { session: await this.openNew(asked, opening), cached: 0 }
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

  /** Of nothing that was there before. @throws PipelineError; the signal's reason */
  async openNew(asked: Asked, opening: Opening): Promise<RingSession> {
    const { model, manifest, context, request } = asked
    const { dtype = 'f16' } = request
    const { onReroute, signal } = opening
    const planner = this.#planner(asked, opening)
    const { layers, vocabulary, width } = manifest
    const exactReplay = request.replay === 'exact'
    const session = await RingSession.open(
      { ...this.#parts.session, planner, onReroute: reroute => planner.opened && onReroute(reroute) },
      { manifest: model.manifest, layers, vocabulary, width, context, dtype, exactReplay },
      { signal }
    )
    planner.opened = true
    return session
  }

  /** Frees those that are kept. */
  stop(): void {
    this.#kept.stop()
  }

  /** False where it cannot be: it is of no use any more. */
  #keep(asked: AskedAnswer, session: RingSession, tokens: readonly number[]): boolean {
    if (isExact(asked.request) || !session.rest()) return false
    this.#kept.keep({ key: keyOf(asked), session, tokens: Uint32Array.from(tokens.slice(0, session.rows)) })
    return true
  }

  async #resume(asked: AskedAnswer, opening: Opening): Promise<Found | undefined> {
    const { prompt, context, request, fresh } = asked
    const { onReroute, signal } = opening
    if (fresh || isExact(request)) return undefined
    const found = this.#kept.take(keyOf(asked), prompt)
    if (found === undefined) return undefined
    const { session } = found.kept
    const planner = this.#planner(asked, opening)
    planner.opened = true
    try {
      await session.resume({ context, planner, onReroute }, { signal })
      return { session, cached: found.shared }
    } catch {
      session.close()
      signal.throwIfAborted()
      return undefined // a stage has ended it, which is no harm
    }
  }

  #planner({ model, manifest, context, request }: Asked, { notices }: Opening): DirectoryPlanner {
    const { directory, session } = this.#parts
    const onWaiting = ({ message }: PipelineError): void => notices.push({ event: 'waiting', message })
    const waitMs = (request.wait ?? 0) * 1_000
    return new DirectoryPlanner({ directory, now: session.now, onWaiting }, { model, manifest, context, waitMs })
  }
}

/** What an answer rounds to depends on the steps in which its prompt is read, and so on what is there already. */
function isExact({ replay, sampling }: GenerateRequest): boolean {
  return replay === 'exact' || sampling.seed !== undefined
}

function keyOf({ caller, model, request: { dtype = 'f16' } }: AskedAnswer): string {
  return `${caller} ${model.manifest} ${dtype}`
}
