import { parse } from 'node:path'
import type { ShareEvent, ShareRequest } from '../control/contract.js'
import type { Engine } from '../engine/types.js'
import { describeModel } from '../models/description.js'
import { readGguf } from '../models/gguf.js'
import { buildManifest } from '../models/manifest.js'
import { findCuts, type SplitProgress } from '../models/split-check.js'
import type { SplitEngine } from '../models/split-run.js'
import type { ModelStore } from '../models/store.js'
import type { LayerRange } from '../models/types.js'
import { rangeText } from '../pipeline/catalogue.js'
import { HoldingError } from './errors.js'
import { EventQueue } from './event-queue.js'

export interface SharerParts {
  store: ModelStore
  /** An engine of its own: a check may crash it. */
  makeEngine: () => SplitEngine & Pick<Engine, 'start' | 'stop'>
  /** Called with the manifest hash once the model is in the store. */
  onShared: (manifest: string) => void
}

/**
 * Offers a GGUF file to the swarm: proves where it may be cut by comparing split with whole, hashes its pieces, and puts
 * its manifest into the store. The file itself stays where it is.
 */
export class Sharer {
  readonly #parts: SharerParts
  readonly #folder: string

  /** @param settings.folder for the shards of a check: as large as the model, so not the system's folder for temporary files */
  constructor(parts: SharerParts, { folder }: { folder: string }) {
    this.#parts = parts
    this.#folder = folder
  }

  /** @throws ModelError, SplitError, EngineError; the signal's reason */
  share(request: ShareRequest, { signal }: { signal: AbortSignal }): AsyncIterable<ShareEvent> {
    const events = new EventQueue<ShareEvent>()
    this.#share(request, event => events.push(event), signal).then(
      () => events.end(),
      (error: unknown) => events.fail(error)
    )
    return events
  }

  async #share(request: ShareRequest, emit: (event: ShareEvent) => void, signal: AbortSignal): Promise<void> {
    const { store, onShared } = this.#parts
    const { file } = request
    emit({ event: 'progress', phase: 'reading', done: 0, total: 1 })
    const gguf = await readGguf(file, { signal })
    emit({ event: 'progress', phase: 'reading', done: 1, total: 1 })
    checkLayers(request.layers, describeModel(gguf).layers)
    const { cuts } = await this.#findCuts(file, emit, signal)
    const manifest = await buildManifest(
      { file, gguf },
      {
        name: request.name ?? gguf.metadata.string('general.name') ?? parse(file).name,
        cuts,
        signal,
        onProgress: ({ bytes, totalBytes }) =>
          emit({ event: 'progress', phase: 'hashing', done: bytes, total: totalBytes })
      }
    )
    const { id } = await store.addShared(manifest, { file, gguf })
    onShared(id)
    emit({ event: 'shared', model: manifest.name, manifest: id, layers: manifest.layers, cuts })
  }

  async #findCuts(file: string, emit: (event: ShareEvent) => void, signal: AbortSignal): Promise<{ cuts: number[] }> {
    const engine = this.#parts.makeEngine()
    const onProgress = ({ cuts, range, layers }: SplitProgress): void => {
      const note =
        cuts.length === 0
          ? 'the whole model'
          : `cut before ${cuts.length === 1 ? 'layer' : 'layers'} ${cuts.join(', ')}`
      emit({ event: 'progress', phase: 'checking', done: range.start, total: layers, note })
    }
    try {
      await engine.start({ signal })
      return await findCuts({ file, engine, folder: this.#folder, onProgress, signal })
    } finally {
      await engine.stop()
    }
  }
}

/** Before the comparison, which may take hours. */
function checkLayers(wanted: LayerRange | undefined, layers: number): void {
  if (wanted === undefined || wanted.end <= layers) return
  throw new HoldingError('PINNED_RANGE', `layers ${rangeText(wanted)} were asked for, and the model has ${layers}`, {
    details: { layers }
  })
}
