import { once } from 'node:events'
import { CodedError } from '../../../protocol/errors.js'
import type {
  GenerateEvent,
  GenerateRequest,
  PauseRequest,
  ShareEvent,
  ShareRequest,
  StatusView,
  StopRequest
} from '../../../node/control/contract.js'
import type { EstimateView, PlanRequest, PlanView } from '../../../node/control/plan.js'
import type { ControlOptions, ControlService } from '../../../node/control/service.js'

export const STATUS: StatusView = {
  version: '1.2.3',
  pid: 4242,
  uptimeSeconds: 5,
  home: '/home/someone/.flambeau',
  name: 'lamp',
  peer: '12D3KooWLamp',
  swarm: { name: 'village', id: 'ab'.repeat(16), closed: false },
  addresses: [],
  gateway: undefined,
  page: undefined,
  state: 'online',
  availability: { state: 'online', pauses: [], overruled: [] },
  peers: 2,
  banned: 0,
  engine: { state: 'ready', backend: 'cpu', devices: [], restarts: 0, version: 'b1' },
  shards: [],
  tasks: [],
  sessions: { served: 0, origin: 0 },
  refused: {},
  memoryBytes: 100,
  usedBytes: 10
}

export const PLAN: PlanView = {
  ...{ model: 'Toy', manifest: 'ab'.repeat(32), layers: 8, promptTokens: 128, maxTokens: 512 },
  size: { weights: 80, layer: 10, embedding: 4, head: 6, needed: 100, positions: 512 },
  alone: {
    ...{ fits: true, memoryBytes: 200 },
    speed: { tokensPerSecond: 50, firstTokenMs: 400, correctedBy: 0 }
  },
  swarm: {
    kind: 'route',
    stages: [
      { peer: '12D3KooWLamp', name: 'lamp', local: true, start: 0, end: 4, milliseconds: 10 },
      { peer: '12D3KooWTorch', name: 'torch', local: false, start: 4, end: 8, milliseconds: 12 }
    ],
    networkMs: 8,
    speed: { tokensPerSecond: 33.3, firstTokenMs: 500, correctedBy: 9 },
    limit: { kind: 'compute', stage: 1, share: 0.4 }
  },
  faster: 'alone'
}

export const ESTIMATE: EstimateView = {
  ...{ at: Date.UTC(2026, 10, 26, 8), model: 'Toy', manifest: 'ab'.repeat(32), stages: 2 },
  ...{ promptTokens: 9, cachedTokens: 0, generatedTokens: 32, recoveries: 0 },
  estimated: { tokensPerSecond: 33, firstTokenMs: 110 },
  measured: { tokensPerSecond: 30, firstTokenMs: 100 }
}

const STATS = {
  promptTokens: 1,
  cachedTokens: 0,
  generatedTokens: 3,
  firstTokenMs: 1,
  promptMs: 1,
  decodeMs: 1,
  tokensPerSecond: 1,
  stages: [],
  networkMs: 0,
  seed: 1,
  recoveries: 0
}

/** A control service that answers from memory: what it was asked is there to look at. */
export class MemoryService implements ControlService {
  readonly removed: string[] = []
  readonly requests: (GenerateRequest | ShareRequest)[] = []
  readonly plans: PlanRequest[] = []
  /** Calls that change how the node is available. */
  readonly asked: (PauseRequest | StopRequest | 'resume')[] = []
  /** Settled with the reason when a stream is cancelled. */
  readonly cancelled = Promise.withResolvers<unknown>()

  status(): Promise<StatusView> {
    return Promise.resolve(STATUS)
  }

  peers(): Promise<never> {
    return Promise.reject(new CodedError('DIRECTORY', 'The directory is on fire.', { details: { heat: 9 } }))
  }

  models(): Promise<never> {
    return Promise.reject(new Error('a bug'))
  }

  plan(request: PlanRequest): Promise<PlanView> {
    this.plans.push(request)
    return Promise.resolve(PLAN)
  }

  estimates(): Promise<EstimateView[]> {
    return Promise.resolve([ESTIMATE])
  }

  invite() {
    return Promise.resolve({ invitation: 'flambeau:abc', name: 'village', closed: false })
  }

  remove(model: string) {
    this.removed.push(model)
    return Promise.resolve({ name: model, manifest: 'f'.repeat(64) })
  }

  pause(request: PauseRequest) {
    this.asked.push(request)
    const pauses = [{ reason: 'owner' as const, until: request.seconds }]
    return Promise.resolve({ state: 'draining' as const, pauses, overruled: [] })
  }

  resume() {
    this.asked.push('resume')
    return Promise.resolve({ state: 'online' as const, pauses: [], overruled: [] })
  }

  stop(request: StopRequest): Promise<void> {
    this.asked.push(request)
    return Promise.resolve()
  }

  async *share(request: ShareRequest): AsyncGenerator<ShareEvent> {
    this.requests.push(request)
    await Promise.resolve()
    yield { event: 'progress', phase: 'hashing', done: 1, total: 2 }
    yield { event: 'shared', model: 'm', manifest: 'f'.repeat(64), layers: 4, cuts: [2] }
  }

  /** The model's name says what happens: `fails`, `endless`, `silent`, or words. */
  async *generate(request: GenerateRequest, { signal }: ControlOptions = {}): AsyncGenerator<GenerateEvent> {
    this.requests.push(request)
    yield { event: 'route', stages: [], promptTokens: 1, cachedTokens: 0 }
    if (request.model === 'fails') throw new CodedError('STAGE_LOST', 'Stage 2 is gone.', { details: { stage: 2 } })
    if (request.model === 'endless') yield* this.#endless(signal)
    if (request.model === 'silent' && signal !== undefined) {
      await once(signal, 'abort')
      this.cancelled.resolve(signal.reason)
      signal.throwIfAborted()
    }
    for (const text of ['un ', 'deux ', 'trois']) yield { event: 'text', text, tokens: [text.length] }
    yield { event: 'done', reason: 'stop', stats: STATS }
  }

  async *#endless(signal: AbortSignal | undefined): AsyncGenerator<GenerateEvent> {
    const text = 'flambeau '.repeat(1000)
    try {
      while (!signal?.aborted) {
        yield { event: 'text', text, tokens: [1] }
        await new Promise(resolve => setImmediate(resolve))
      }
      signal.throwIfAborted()
    } finally {
      // Also where the reader leaves while it waits for its socket, and asks for nothing more.
      this.cancelled.resolve(signal?.reason)
    }
  }
}
