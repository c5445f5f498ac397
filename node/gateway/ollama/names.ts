import type { GenerateEvent, GenerateRequest, ModelView } from '../../control/contract.js'
import type { ControlService, GenerateOptions } from '../../control/service.js'
import { answersTo, resolveModel } from '../../pipeline/catalogue.js'
import type { Answering } from '../answering.js'

/** What Ollama's clients call a model that has no tag. */
export const TAG = ':latest'

/** Milliseconds for which the names of models are remembered: asking goes once through the swarm, with every answer. */
export const NAMES_MS = 30_000

type Names = Pick<ModelView, 'name' | 'manifest'>

/** Names that somebody was told not long ago, whoever it was. */
export class RememberedNames {
  #until = 0
  #models: readonly Names[] = []

  note(models: readonly Names[]): void {
    this.#until = performance.now() + NAMES_MS
    this.#models = models
  }

  /** Empty after `NAMES_MS`. */
  get models(): readonly Names[] {
    return performance.now() < this.#until ? this.#models : []
  }
}

/** Models by the names that Ollama's clients have for them. */
export class TaggedModels implements Pick<ControlService, 'generate'> {
  readonly #service: Answering
  readonly #remembered: RememberedNames

  constructor({ service, remembered }: { service: Answering; remembered: RememberedNames }) {
    this.#service = service
    this.#remembered = remembered
  }

  async *generate(request: GenerateRequest, options?: GenerateOptions): AsyncGenerator<GenerateEvent> {
    const model = await this.#nameOf(request.model)
    yield* this.#service.generate({ ...request, model }, options)
  }

  /** Those that the swarm offers now. */
  async list(): Promise<ModelView[]> {
    const models = await this.#service.models()
    this.#remembered.note(models)
    return models
  }

  /** @throws PipelineError UNKNOWN_MODEL, AMBIGUOUS_MODEL */
  async find(wanted: string): Promise<ModelView> {
    const models = await this.list()
    return resolveModel(models, untagged(models, wanted))
  }

  async #nameOf(wanted: string): Promise<string> {
    if (!wanted.endsWith(TAG)) return wanted
    const { models } = this.#remembered
    const name = untagged(models, wanted)
    return models.some(model => answersTo(model, name)) ? name : untagged(await this.list(), wanted)
  }
}

/** Without the tag, unless there is a model that is called like this. */
export function untagged(models: readonly Names[], wanted: string): string {
  const isTagged = wanted.endsWith(TAG) && !models.some(model => answersTo(model, wanted))
  return isTagged ? wanted.slice(0, -TAG.length) : wanted
}
