import { type StageReply, type StageRequest } from '../../../protocol/stage.js'
import { PipelineError } from '../../../node/pipeline/errors.js'
import { RingSession, type RingSessionParts } from '../../../node/pipeline/ring-session.js'
import type { RoutePlanner, SessionPlan, SessionStage } from '../../../node/pipeline/session-types.js'
import type { StageChannelHandlers } from '../../../node/pipeline/stage-channel.js'
import { VOCABULARY, WIDTH } from './layer-engine.js'
import { MANIFEST } from './toy-mesh.js'

/** A stage that says what the test wants it to say. */
export interface ScriptedStage {
  requests: StageRequest[]
  handlers: StageChannelHandlers
  closed: boolean
}

export interface ScriptedRoute {
  stages: ScriptedStage[]
  pings: string[]
  /** What a ping of this peer does. */
  ping: { run: (peer: string, signal: AbortSignal) => Promise<unknown> }
  parts: RingSessionParts
  plan: SessionPlan
  stage(index: number): ScriptedStage
}

/** Stages `peer 0`, `peer 1`, ... of two layers each, that answer `opened` and `linked` and nothing else. */
export function scriptedRoute(
  count: number,
  answer: (request: StageRequest, index: number) => StageReply | undefined = obliging
): ScriptedRoute {
  const stages: ScriptedStage[] = []
  const pings: string[] = []
  const ping: ScriptedRoute['ping'] = { run: () => Promise.resolve() }
  const parts: RingSessionParts = {
    openChannel: (stage, handlers) => {
      const index = stage.start / 2
      const scripted: ScriptedStage = { requests: [], handlers, closed: false }
      stages[index] = scripted
      const send = (request: StageRequest): void => {
        scripted.requests.push(request)
        const reply = answer(request, index)
        if (reply !== undefined) handlers.onReply(reply)
      }
      return Promise.resolve({ send, close: () => (scripted.closed = true) })
    },
    ping: async (peer, { signal }) => {
      pings.push(peer)
      return ping.run(peer, signal)
    },
    now: () => performance.now(),
    planner: fixedRoute(() => route)
  }
  const route = Array.from({ length: count }, (_, i): SessionStage => ({
    ...{ start: 2 * i, end: 2 * i + 2, leave: 2 * i + 2 },
    ...{ peer: `peer ${i}`, local: false, addresses: [] }
  }))
  const plan: SessionPlan = {
    manifest: MANIFEST,
    vocabulary: VOCABULARY,
    width: WIDTH,
    layers: 2 * count,
    context: 128,
    dtype: 'f16'
  }
  const stage = (index: number): ScriptedStage => {
    const found = stages[index]
    if (found === undefined) throw new Error(`stage ${index} was not opened`)
    return found
  }
  return { stages, pings, ping, parts, plan, stage }
}

/** Nobody else can take a stage's place. */
export function fixedRoute(route: () => SessionStage[]): RoutePlanner {
  let found = false
  return {
    find: () => {
      if (found) return undefined
      found = true
      return route()
    },
    isSlow: () => false,
    lookAround: () => Promise.resolve(false),
    explain: (_, failure) => failure ?? new PipelineError('NO_ROUTE', 'nobody')
  }
}

/** What an honest stage answers to `open` and `link`. */
export function obliging(request: StageRequest): StageReply | undefined {
  if (request.type === 'open') return { type: 'opened', rowsPerStep: 8 }
  return request.type === 'link' ? { type: 'linked' } : undefined
}

/** Where two stages do not reach each other. */
export function starOnly(request: StageRequest): StageReply | undefined {
  if (request.type !== 'link' || request.link.next === 'origin') return obliging(request)
  return { type: 'fault', fault: { code: 'UNREACHABLE', message: 'no way' } }
}

export async function openScripted(route: ScriptedRoute): Promise<RingSession> {
  return RingSession.open(route.parts, route.plan, { signal: new AbortController().signal })
}
