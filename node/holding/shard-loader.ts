import type { LayerRange, StoredModel } from '../models/types.js'
import type { ModelStore } from '../models/store.js'
import type { ServedShard } from '../pipeline/served-shard.js'
import type { ShardRegistry } from '../pipeline/shard-registry.js'
import { footprint, type Footprint } from './footprint.js'
import type { ModelLibrary } from './library.js'
import type { Tasks } from './tasks.js'

export interface ShardLoaderParts {
  store: ModelStore
  shards: ShardRegistry
  library: Pick<ModelLibrary, 'header' | 'range'>
  tasks: Tasks
}

/** A model, and what its layers take of memory. */
export interface SizedModel {
  model: StoredModel
  size: Footprint
}

/** Gets layers of a model, and serves them. */
export class ShardLoader {
  readonly #parts: ShardLoaderParts
  readonly #context: number

  /** @param settings.context KV positions of a shard */
  constructor(parts: ShardLoaderParts, { context }: { context: number }) {
    this.#parts = parts
    this.#context = context
  }

  /** @throws ModelError */
  async describe(manifest: string, { signal }: { signal: AbortSignal }): Promise<SizedModel> {
    const { library, store } = this.#parts
    const model = await library.header(manifest, { signal })
    const { metadata } = await store.header(manifest)
    return { model, size: footprint(model.manifest, metadata, this.#context) }
  }

  /** The file with these layers. @throws ModelError */
  async fetch({ id, manifest }: StoredModel, range: LayerRange, { signal }: { signal: AbortSignal }): Promise<string> {
    const { library, tasks } = this.#parts
    return tasks.run({ what: 'fetching', model: manifest.name, layers: range, progress: 0 }, async task =>
      library.range(id, range, {
        signal,
        onProgress: ({ bytes, totalBytes }) => tasks.progress(task, totalBytes === 0 ? 1 : bytes / totalBytes)
      })
    )
  }

  /** Serves the layers of a file. @throws EngineError */
  async serve(
    { id, manifest: { name, architecture, layers } }: StoredModel,
    { range, file }: { range: LayerRange; file: string },
    { signal }: { signal: AbortSignal }
  ): Promise<ServedShard> {
    const { shards, store, tasks } = this.#parts
    const check = async (): Promise<void> => store.checkFile(id, file)
    return tasks.run({ what: 'loading', model: name, layers: range, progress: 0 }, async () =>
      shards.serve({ manifest: id, file: { file, architecture, ...range, layers }, check }, { signal })
    )
  }
}
