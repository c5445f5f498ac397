import { asError } from '../protocol/errors.js'
import type { Availability } from './availability/availability.js'
import type { AvailabilityView } from './availability/types.js'
import type { Config } from './config.js'
import type {
  GenerateEvent,
  GenerateRequest,
  ModelView,
  PauseRequest,
  PeerView,
  ShareEvent,
  ShareRequest,
  StatusView,
  StopRequest
} from './control/contract.js'
import type { ControlOptions, ControlService, GenerateOptions, InviteView, RemovedView } from './control/service.js'
import { errorView } from './control/errors.js'
import type { EstimateView, PlanRequest, PlanView } from './control/plan.js'
import type { Engine } from './engine/types.js'
import { abortable } from './deadline.js'
import type { Forecasts } from './estimate/forecasts.js'
import { estimateView, type EstimateHistory } from './estimate/history.js'
import type { Planner } from './estimate/planner.js'
import type { Announcer } from './holding/announcer.js'
import type { Holdings } from './holding/holdings.js'
import type { Tasks } from './holding/tasks.js'
import type { MemoryBudget } from './holding/memory-budget.js'
import type { Sharer } from './holding/share.js'
import type { Home } from './home.js'
import type { Lifecycle } from './lifecycle.js'
import type { ModelStore } from './models/store.js'
import type { LayerRange } from './models/types.js'
import { offeredModels, resolveModel } from './pipeline/catalogue.js'
import { PipelineError } from './pipeline/errors.js'
import type { EmbedEvent, EmbeddingService, EmbedRequest } from './pipeline/embedding-types.js'
import type { Origin } from './pipeline/origin.js'
import type { ShardRegistry } from './pipeline/shard-registry.js'
import type { StageHost } from './pipeline/stage-host.js'
import { invitationTo, type Membership } from './swarm/membership.js'
import type { Swarm } from './swarm/types.js'
import type { Trust } from './trust/trust.js'
import { VERSION } from './version.js'
import { modelViews, peerViews, shardViews } from './views.js'

type SharedEvent = Extract<ShareEvent, { event: 'shared' }>

export interface NodeServiceParts {
  home: Home
  config: Config
  membership: Membership
  swarm: Swarm
  store: ModelStore
  engine: Engine
  shards: ShardRegistry
  holdings: Holdings
  tasks: Tasks
  memory: Pick<MemoryBudget, 'bytes'>
  announcer: Announcer
  availability: Pick<Availability, 'view' | 'pause' | 'resume' | 'leave'>
  trust: Pick<Trust, 'refused' | 'bans'>
  host: StageHost
  origin: Origin
  planner: Pick<Planner, 'plan'>
  forecasts: Pick<Forecasts, 'follow'>
  history: Pick<EstimateHistory, 'list'>
  sharer: Sharer
  lifecycle: Pick<Lifecycle, 'isOpen' | 'opened' | 'stop'>
  /** Undefined while there is none. */
  gatewayUrl: () => string | undefined
  /** With the owner's secret. */
  pageUrl: () => string | undefined
}

/** What the owner can ask of the node, answered from its parts. */
export class NodeService implements ControlService, EmbeddingService {
  readonly #parts: NodeServiceParts
  readonly #started = performance.now()
  #restarts = 0

  constructor(parts: NodeServiceParts) {
    this.#parts = parts
    parts.engine.addEventListener('lost', () => this.#restarts++)
  }

  status(): Promise<StatusView> {
    const {
      home,
      config,
      membership,
      swarm,
      engine,
      shards,
      holdings,
      tasks,
      memory,
      trust,
      host,
      origin,
      store,
      lifecycle,
      gatewayUrl,
      pageUrl
    } = this.#parts
    const availability = this.#parts.availability.view
    const nodes = swarm.directory.nodes()
    const names = new Map(store.list().map(({ id, manifest }) => [id, manifest.name]))
    return Promise.resolve({
      version: VERSION,
      pid: process.pid,
      uptimeSeconds: (performance.now() - this.#started) / 1_000,
      home: home.path,
      name: config.name,
      peer: swarm.peer,
      swarm: { name: membership.name, id: membership.id, closed: membership.key !== undefined },
      addresses: swarm.addresses(),
      gateway: gatewayUrl(),
      page: pageUrl(),
      state: lifecycle.isOpen || availability.state === 'leaving' ? availability.state : 'joining',
      availability,
      peers: nodes.filter(({ path }) => path !== 'self').length,
      engine: {
        state: engine.state,
        backend: engine.info?.backend,
        devices: engine.info?.devices.map(({ description, name }) => description || name) ?? [],
        restarts: this.#restarts,
        version: engine.info?.version
      },
      shards: shardViews(shards.list(), names),
      tasks: [...tasks.list()],
      sessions: { served: host.sessions, origin: origin.answering },
      refused: trust.refused,
      banned: trust.bans().length,
      memoryBytes: memory.bytes,
      usedBytes: holdings.usedBytes
    })
  }

  async peers({ signal }: ControlOptions = {}): Promise<PeerView[]> {
    const { swarm, trust } = this.#parts
    await swarm.directory.refresh(signal === undefined ? {} : { signal })
    return peerViews(swarm.directory.nodes(), trust.bans())
  }

  async models({ signal }: ControlOptions = {}): Promise<ModelView[]> {
    const { store, swarm } = this.#parts
    await swarm.directory.refresh(signal === undefined ? {} : { signal })
    return modelViews(swarm.directory.nodes(), new Map(store.list().map(({ id, manifest }) => [id, manifest])))
  }

  /** Ends with `shared` once this node serves layers of the model, or has found that it cannot. */
  async *share(request: ShareRequest, { signal }: ControlOptions = {}): AsyncGenerator<ShareEvent> {
    const using = signal ?? new AbortController().signal
    for await (const event of this.#parts.sharer.share(request, { signal: using })) {
      if (event.event !== 'shared') {
        yield event
        continue
      }
      yield { event: 'progress', phase: 'loading', done: 0, total: 1 }
      yield { ...event, ...(await this.#serve(event.manifest, request.layers)) }
    }
  }

  /** The model is shared whatever comes of this. */
  async #serve(manifest: string, layers: LayerRange | undefined): Promise<Pick<SharedEvent, 'serves' | 'problem'>> {
    const { holdings, announcer } = this.#parts
    try {
      const serves = await holdings.hold(manifest, layers)
      await announcer.update()
      return { serves }
    } catch (error) {
      return { problem: errorView(error) }
    }
  }

  async *generate(request: GenerateRequest, { signal, caller }: GenerateOptions = {}): AsyncGenerator<GenerateEvent> {
    const using = signal ?? new AbortController().signal
    await abortable(this.#parts.lifecycle.opened, using)
    const { forecasts, origin } = this.#parts
    yield* forecasts.follow(request, origin.generate(request, { signal: using, caller }))
  }

  async *embed(request: EmbedRequest, { signal }: ControlOptions = {}): AsyncGenerator<EmbedEvent> {
    const using = signal ?? new AbortController().signal
    await abortable(this.#parts.lifecycle.opened, using)
    yield* this.#parts.origin.embed(request, { signal: using })
  }

  async plan(request: PlanRequest, { signal }: ControlOptions = {}): Promise<PlanView> {
    await this.#parts.lifecycle.opened
    return this.#parts.planner.plan(request, { signal: signal ?? new AbortController().signal })
  }

  estimates(): Promise<EstimateView[]> {
    return Promise.resolve(this.#parts.history.list().map(estimateView))
  }

  /** Of a node that is still starting: once it has addresses to invite to. */
  async invite(): Promise<InviteView> {
    const { membership, swarm, lifecycle } = this.#parts
    await lifecycle.opened
    const invitation = invitationTo(membership, [...swarm.addresses(), ...membership.bootstrap])
    return { invitation, name: membership.name, closed: membership.key !== undefined }
  }

  async remove(wanted: string): Promise<RemovedView> {
    const { store, swarm, holdings, announcer } = this.#parts
    const here = store.list().map(({ id, manifest }) => ({ manifest: id, name: manifest.name }))
    const elsewhere = offeredModels(swarm.directory.nodes()).filter(({ manifest }) =>
      here.every(model => model.manifest !== manifest)
    )
    const { manifest, name } = resolveModel<RemovedView>([...here, ...elsewhere], wanted)
    if (here.every(model => model.manifest !== manifest)) {
      throw new PipelineError('UNKNOWN_MODEL', `This node holds nothing of ${name}.`, { details: { wanted, manifest } })
    }
    await holdings.remove(manifest)
    await announcer.update()
    return { manifest, name }
  }

  async pause({ seconds }: PauseRequest): Promise<AvailabilityView> {
    const { availability, lifecycle } = this.#parts
    await lifecycle.opened
    availability.pause(seconds === undefined ? undefined : seconds * 1_000)
    return availability.view
  }

  async resume(): Promise<AvailabilityView> {
    const { availability, lifecycle } = this.#parts
    await lifecycle.opened
    availability.resume()
    return availability.view
  }

  /** The answer has to leave first. */
  stop({ drainSeconds }: StopRequest): Promise<void> {
    setImmediate(() => {
      this.#leave(drainSeconds * 1_000).catch((error: unknown) => process.emitWarning(asError(error)))
    })
    return Promise.resolve()
  }

  async #leave(deadlineMs: number): Promise<void> {
    const { availability, lifecycle } = this.#parts
    await availability.leave({ deadlineMs })
    await lifecycle.stop()
  }
}
