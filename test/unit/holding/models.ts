import { copyFile } from 'node:fs/promises'
import { encodeManifest } from '../../../protocol/manifest.js'
import type { ModelLibrary } from '../../../node/holding/library.js'
import { readGguf } from '../../../node/models/gguf.js'
import { buildManifest, headerBytes, manifestId } from '../../../node/models/manifest.js'
import { ModelStore } from '../../../node/models/store.js'
import type { Manifest } from '../../../node/models/types.js'
import { temporaryFolder } from '../../support/temporary.js'
import { writeTinyModel } from '../../support/tiny-model.js'

export const CUTS = [2, 4, 6]
export const MODEL_LAYERS = 8

/** A model that somebody else shares, and a store of this node's own that has nothing yet. */
export interface Models extends AsyncDisposable {
  id: string
  manifest: Manifest
  /** The owner's store. */
  theirs: ModelStore
  /** This node's. */
  store: ModelStore
  library: Pick<ModelLibrary, 'header' | 'range'>
  /** Called before every fetch of a range. */
  beforeRange: { run: (signal: AbortSignal) => unknown }
}

export async function models(name = 'Tiny'): Promise<Models> {
  const folder = await temporaryFolder()
  const { file } = await writeTinyModel(folder.file('model.gguf'), { architecture: 'llama', layers: MODEL_LAYERS })
  const [theirs, store] = [
    new ModelStore({ root: folder.file('theirs') }),
    new ModelStore({ root: folder.file('ours') })
  ]
  await Promise.all([theirs.start(), store.start()])
  const gguf = await readGguf(file)
  const manifest = await buildManifest({ file, gguf }, { cuts: CUTS, name })
  const id = manifestId(manifest)
  await theirs.addShared(manifest, { file, gguf })
  const beforeRange: Models['beforeRange'] = { run: () => undefined }
  const library: Models['library'] = {
    header: async wanted => {
      await store.addManifest(encodeManifest(manifest), wanted)
      const model = await store.addHeader(wanted, headerBytes(gguf))
      return { ...model, headerFile: model.headerFile ?? '' }
    },
    range: async (wanted, range, { signal, onProgress }) => {
      await beforeRange.run(signal)
      signal.throwIfAborted()
      await copyFile(await theirs.shardFile(wanted, range), await store.partialFile(wanted, range))
      onProgress({ bytes: 1, totalBytes: 2, pieces: 1, totalPieces: 2 })
      return store.commitPartial(wanted, range)
    }
  }
  const dispose = (): Promise<void> => folder.remove()
  return { id, manifest, theirs, store, library, beforeRange, [Symbol.asyncDispose]: dispose }
}
