import type { Manifest } from '../models/types.js'
import { missingLayers } from '../scheduler/coverage.js'
import { paysToMove } from '../scheduler/moving.js'
import type { RouteSegment } from '../scheduler/types.js'
import type { Directory } from '../swarm/types.js'
import { abortable, deadline } from '../deadline.js'
import { incompleteModel, offeredModels, type OfferedModel } from './catalogue.js'
import { LOOK_AROUND_MS, WAIT_INTERVAL_MS } from './constants.js'
import { PipelineError } from './errors.js'
import { chooseRoute, secondsThrough, type ChosenRoute, type RouteInput } from './route.js'
import type { RoutePlanner, SessionStage, StagePace } from './session-types.js'

export interface DirectoryPlannerParts {
  directory: Directory
  /** Milliseconds, monotonic. */
  now: () => number
  /** Told once for each time that nobody serves what is needed and somebody is waited for. */
  onWaiting: (why: PipelineError) => void
}

export interface DirectoryPlannerSettings {
  model: OfferedModel
  manifest: Manifest
  /** Positions that the session needs. */
  context: number
  /** How long to wait for a holder where there is none, milliseconds. */
  waitMs: number
}

/** Finds stages in what the directory shows. A stale view costs a failed attempt, not the answer. */
export class DirectoryPlanner implements RoutePlanner {
  readonly #parts: DirectoryPlannerParts
  readonly #settings: DirectoryPlannerSettings
  #waitingSince = 0
  /** The first route stands: what is looked for now takes the place of stages that are lost. */
  opened = false

  constructor(parts: DirectoryPlannerParts, settings: DirectoryPlannerSettings) {
    this.#parts = parts
    this.#settings = settings
  }

  find(segment: RouteSegment, exclude: ReadonlySet<string>): SessionStage[] | undefined {
    const route = this.#choose(segment, exclude)
    return route instanceof PipelineError ? undefined : route.stages
  }

  isSlow(segment: RouteSegment, { stage, seconds, rows }: StagePace, exclude: ReadonlySet<string>): boolean {
    const route = this.#choose(segment, exclude)
    if (route instanceof PipelineError) return false
    const { context } = this.#settings
    const current = secondsThrough(stage, seconds, this.#input(segment, exclude))
    return paysToMove({ current, other: route.secondsPerToken, rows, rest: context - rows })
  }

  async lookAround({ signal, attempt }: { signal: AbortSignal; attempt: number }): Promise<boolean> {
    const { directory, now, onWaiting } = this.#parts
    const { waitMs } = this.#settings
    if (!this.opened && waitMs === 0) return false // whoever asks has looked around just now
    if (attempt === 0) {
      this.#waitingSince = now()
      await this.#refresh(signal)
      return true
    }
    if (now() - this.#waitingSince >= waitMs) return false
    if (attempt === 1) onWaiting(this.#nobody())
    await nextChange(directory, signal)
    return true
  }

  explain(gone: ReadonlySet<string>, failure: PipelineError | undefined): PipelineError {
    if (!this.opened) return this.#withoutGone(gone) ?? failure ?? this.#nobody()
    if (failure === undefined) return this.#nobody()
    const advice =
      this.#settings.waitMs > 0
        ? `Nobody took its place within ${this.#settings.waitMs / 1_000} s.`
        : 'Nobody else can take its place now; with --wait SECONDS the answer goes on when somebody can.'
    return new PipelineError(failure.code, `${failure.message} ${advice}`, { details: failure.details, cause: failure })
  }

  #choose(segment: RouteSegment | undefined, exclude: ReadonlySet<string>): ChosenRoute | PipelineError {
    try {
      return chooseRoute(this.#input(segment, exclude))
    } catch (error) {
      if (error instanceof PipelineError) return error
      throw error
    }
  }

  #input(segment: RouteSegment | undefined, exclude: ReadonlySet<string>): RouteInput {
    const { model, manifest, context } = this.#settings
    const nodes = this.#parts.directory.nodes()
    return { model, manifest, nodes, context, exclude, ...(segment && { segment }) }
  }

  #nobody(): PipelineError {
    const found = this.#choose(undefined, new Set())
    if (found instanceof PipelineError) return found
    return new PipelineError('NO_ROUTE', 'No chain of nodes can take the session now. Try again later.')
  }

  /** The error for layers that nobody serves once these peers are taken to be gone; undefined where others serve them. */
  #withoutGone(gone: ReadonlySet<string>): PipelineError | undefined {
    const { model } = this.#settings
    const serving = model.holders.filter(holder => holder.serving)
    const missing = missingLayers(
      model.layers,
      serving.filter(({ peer }) => !gone.has(peer))
    )
    if (missing.length === 0) return undefined
    const absent = [...model.absent, ...serving.filter(({ peer }) => gone.has(peer))]
    return incompleteModel({ ...model, missing, absent })
  }

  async #refresh(parent: AbortSignal): Promise<void> {
    const { directory } = this.#parts
    const { manifest } = this.#settings.model
    const layers = offeredModels(directory.nodes()).find(model => model.manifest === manifest)?.missing ?? []
    using limit = deadline('asking the swarm who serves the layers', LOOK_AROUND_MS, parent)
    try {
      const looking = directory.refresh({
        signal: limit.signal,
        ...(layers.length > 0 && { missing: { manifest, layers } })
      })
      await abortable(looking, limit.signal)
    } catch {
      parent.throwIfAborted() // what is known by now has to do
    }
  }
}

/** The directory says when somebody comes; what it does not say shows after a while. */
export async function nextChange(directory: Directory, parent: AbortSignal): Promise<void> {
  using limit = deadline('waiting for a holder', WAIT_INTERVAL_MS, parent)
  const changed = Promise.withResolvers<undefined>()
  const onChange = (): void => changed.resolve(undefined)
  directory.addEventListener('change', onChange)
  try {
    await abortable(changed.promise, limit.signal)
  } catch {
    parent.throwIfAborted()
  } finally {
    directory.removeEventListener('change', onChange)
  }
}
