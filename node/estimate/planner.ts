import type {
  AlonePlan,
  PlannedLimit,
  PlannedSpeed,
  PlannedStage,
  PlanRequest,
  PlanView,
  SwarmPlan
} from '../control/plan.js'
import { deadline } from '../deadline.js'
import { footprint, type Footprint } from '../holding/footprint.js'
import type { ModelLibrary } from '../holding/library.js'
import { readGguf } from '../models/gguf.js'
import type { ModelStore } from '../models/store.js'
import type { Manifest } from '../models/types.js'
import { offeredModels, resolveModel, type OfferedModel } from '../pipeline/catalogue.js'
import { PipelineError } from '../pipeline/errors.js'
import { chooseRoute, type ChosenRoute } from '../pipeline/route.js'
import { DEFAULT_MAX_TOKENS } from '../pipeline/sampling.js'
import type { Directory, NodeView } from '../swarm/types.js'
import { DEFAULT_PROMPT_TOKENS, HEADER_MS, SAME } from './constants.js'
import { networkSeconds, type RouteCost } from './cost.js'
import type { Forecast, ForecastRequest, Forecasts } from './forecasts.js'
import { speedOf } from './history.js'
import { aloneCost, routeCost, secondsOfLayer, type CostedModel } from './route-cost.js'
import { givers, missingRanges } from './room.js'
import { fitsTogether, headLayers, plannedSize, sizedFile } from './size.js'

export interface PlannerParts {
  directory: Pick<Directory, 'nodes' | 'refresh'>
  store: Pick<ModelStore, 'list' | 'header'>
  library: Pick<ModelLibrary, 'header'>
  /** What the owner gives to shards. */
  memory: { readonly bytes: number }
  forecasts: Pick<Forecasts, 'of'>
}

export interface PlannerSettings {
  /** KV positions of a shard here. */
  context: number
}

interface Wanted {
  model: OfferedModel
  promptTokens: number
  maxTokens: number
}

/** A model and what is known of its size. */
interface Known extends Wanted {
  nodes: readonly NodeView[]
  manifest: Manifest | undefined
  footprints: ReadonlyMap<string, Footprint>
}

/** Says what to expect of a model. */
export class Planner {
  readonly #parts: PlannerParts
  readonly #context: number

  constructor(parts: PlannerParts, { context }: PlannerSettings) {
    this.#parts = parts
    this.#context = context
  }

  /** @throws PipelineError UNKNOWN_MODEL, AMBIGUOUS_MODEL; ModelError where the file is no model */
  async plan(request: PlanRequest, { signal }: { signal: AbortSignal }): Promise<PlanView> {
    const { directory } = this.#parts
    const { model: name = '', file, promptTokens = DEFAULT_PROMPT_TOKENS, maxTokens = DEFAULT_MAX_TOKENS } = request
    await directory.refresh({ signal })
    const shared = this.#parts.store.list().find(({ sourceFile }) => sourceFile !== undefined && sourceFile === file)
    const nodes = directory.nodes()
    const offered = offeredModels(nodes)
    const isUnshared = file !== undefined && offered.every(({ manifest }) => manifest !== shared?.id)
    if (isUnshared) return this.#planFile(file, { promptTokens, maxTokens }, signal)
    const model = resolveModel(offered, shared?.id ?? name)
    return this.#planModel({ model, promptTokens, maxTokens }, nodes, signal)
  }

  async #planModel(wanted: Wanted, nodes: readonly NodeView[], signal: AbortSignal): Promise<PlanView> {
    const { model, promptTokens, maxTokens } = wanted
    const manifest = await this.#manifest(model.manifest, signal)
    const known = { ...wanted, nodes, manifest, footprints: await this.#footprints() }
    const size = this.#size(known)
    const alone = this.#alone(known, size?.needed)
    const swarm = this.#swarm(known)
    return {
      ...{ model: model.name, manifest: model.manifest, layers: model.layers, promptTokens, maxTokens },
      ...{ size, alone, swarm, faster: fasterOf(alone, swarm) }
    }
  }

  async #planFile(
    file: string,
    asked: Pick<PlanView, 'promptTokens' | 'maxTokens'>,
    signal: AbortSignal
  ): Promise<PlanView> {
    const gguf = await readGguf(file, { signal })
    const { name, ...model } = sizedFile(gguf)
    const bytes = footprint(model, gguf.metadata, this.#context)
    const size = plannedSize(model, bytes, this.#context)
    const memories = givers(this.#parts.directory.nodes()).map(({ record }) => record.hardware.memoryBytes)
    const given = memories.reduce((sum, memory) => sum + memory, 0)
    const swarm = {
      ...{ kind: 'unshared' as const, nodes: memories.length, memoryBytes: given },
      fits: fitsTogether(bytes, memories)
    }
    const alone = { ...this.#memory(size.needed), speed: undefined }
    return { model: name, manifest: undefined, layers: model.layers, ...asked, size, alone, swarm, faster: undefined }
  }

  /** Undefined where nobody who has it answers. */
  async #manifest(id: string, signal: AbortSignal): Promise<Manifest | undefined> {
    using limit = deadline("fetching the model's header", HEADER_MS, signal)
    try {
      return (await this.#parts.library.header(id, { signal: limit.signal })).manifest
    } catch {
      signal.throwIfAborted()
      return undefined // what does not need it is said all the same
    }
  }

  /** Of the models whose headers are here. */
  async #footprints(): Promise<Map<string, Footprint>> {
    const { store } = this.#parts
    const footprints = new Map<string, Footprint>()
    for (const { id, manifest, headerFile, sourceFile } of store.list()) {
      if (headerFile === undefined && sourceFile === undefined) continue
      const header = await store.header(id).catch(() => undefined) // a damaged one is as good as none
      if (header !== undefined) footprints.set(id, footprint(manifest, header.metadata, this.#context))
    }
    return footprints
  }

  #size({ manifest, footprints, model }: Known): PlanView['size'] {
    const bytes = footprints.get(model.manifest)
    return manifest && bytes && plannedSize(manifest, bytes, this.#context)
  }

  #memory(needed: number | undefined): Pick<AlonePlan, 'fits' | 'memoryBytes'> {
    const { bytes } = this.#parts.memory
    return { fits: needed === undefined ? undefined : needed <= bytes, memoryBytes: bytes }
  }

  #alone(known: Known, needed: number | undefined): AlonePlan {
    const memory = this.#memory(needed)
    const self = known.nodes.find(({ path }) => path === 'self')
    const model = costed(known)
    const seconds = self && secondsOfLayer(self, model)
    if (memory.fits !== true || self === undefined || seconds === undefined) return { ...memory, speed: undefined }
    const route = [{ peer: self.peer, start: 0, end: model.layers }]
    return { ...memory, speed: speed(this.#forecast(aloneCost(seconds, model), known, route)) }
  }

  #swarm(known: Known): SwarmPlan {
    const { model, nodes, footprints } = known
    const missing = (): SwarmPlan => ({
      kind: 'missing',
      ranges: missingRanges(model, nodes, manifest => footprints.get(manifest))
    })
    if (model.missing.length > 0) return missing()
    try {
      return this.#route(chooseRoute(this.#routeInput(known)), known)
    } catch (error) {
      if (error instanceof PipelineError) return { kind: 'blocked', message: error.message }
      throw error
    }
  }

  #routeInput({ model, nodes, manifest, promptTokens, maxTokens }: Known): Parameters<typeof chooseRoute>[0] {
    const wished = promptTokens + maxTokens
    const context = manifest === undefined ? wished : Math.min(wished, manifest.context)
    return { model, manifest: manifest ?? model, nodes, context, exclude: new Set() }
  }

  #route({ stages: chosen }: ChosenRoute, known: Known): SwarmPlan {
    const stages = chosen.map(({ peer, name = '', start, leave, local }) => ({ peer, name, start, end: leave, local }))
    const cost = routeCost(stages, costed(known), known.nodes)
    if (cost === undefined) return { kind: 'blocked', message: 'The route has just gone. Try again.' }
    const forecast = this.#forecast(cost, known, stages)
    // What corrects the whole corrects its parts.
    const factor = (forecast.told.token / forecast.raw.token) * 1_000
    const planned = stages.map((stage, i) => ({ ...stage, milliseconds: (cost.stages[i]?.seconds ?? 0) * factor }))
    const networkMs = networkSeconds(cost) * factor
    return { kind: 'route', stages: planned, networkMs, speed: speed(forecast), limit: limitOf(planned, networkMs) }
  }

  #forecast(cost: RouteCost, known: Known, stages: ForecastRequest['stages']): Forecast {
    const { model, promptTokens } = known
    return this.#parts.forecasts.of(cost, { manifest: model.manifest, promptTokens, cachedTokens: 0, stages })
  }
}

function costed({ model, manifest }: Known): CostedModel {
  return {
    ...{ manifest: model.manifest, layers: model.layers },
    headLayers: manifest === undefined ? 0 : headLayers(manifest)
  }
}

function speed({ told }: Forecast): PlannedSpeed {
  return { ...speedOf(told), correctedBy: told.by }
}

/** Of stages one after another no one holds the others up: the one that takes longest is where most can be gained. */
function limitOf(stages: readonly PlannedStage[], networkMs: number): PlannedLimit {
  const times = stages.map(({ milliseconds }) => milliseconds)
  const all = times.reduce((sum, time) => sum + time, networkMs)
  const longest = Math.max(...times)
  if (networkMs > longest) return { kind: 'network', share: networkMs / all }
  return { kind: 'compute', stage: times.indexOf(longest), share: longest / all }
}

function fasterOf(alone: AlonePlan, swarm: SwarmPlan): PlanView['faster'] {
  if (alone.speed === undefined || swarm.kind !== 'route') return undefined
  if (swarm.stages.every(({ local }) => local)) return undefined
  const ratio = alone.speed.tokensPerSecond / swarm.speed.tokensPerSecond
  if (ratio > SAME) return 'alone'
  return ratio < 1 / SAME ? 'swarm' : undefined
}
