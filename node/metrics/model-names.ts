import { offeredModels, resolveModel } from '../pipeline/catalogue.js'
import type { Directory } from '../swarm/types.js'

/** Strangers name their models as they like, and each name is a time series for ever. */
export const MAX_MODEL_NAMES = 32

const OTHER = 'other'

/** Models' names as values of a label: those that this node serves or has been asked for, the first so many of them. */
export class ModelNames {
  readonly #directory: Pick<Directory, 'nodes'>
  readonly #names = new Set<string>()

  constructor({ directory }: { directory: Pick<Directory, 'nodes'> }) {
    this.#directory = directory
  }

  /** @param wanted as in a request: a name, a manifest's hash or the beginning of it; `other` where no model is meant */
  asked(wanted: string): string {
    try {
      return this.label(resolveModel(offeredModels(this.#directory.nodes()), wanted).name)
    } catch {
      return OTHER // unknown or ambiguous: the answer says so itself
    }
  }

  /** @param name of a model that is there */
  label(name: string): string {
    if (this.#names.size < MAX_MODEL_NAMES) this.#names.add(name)
    return this.#names.has(name) ? name : OTHER
  }
}
