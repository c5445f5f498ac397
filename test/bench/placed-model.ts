import { locateHome, prepareHome } from '../../node/home.js'
import { readGguf } from '../../node/models/gguf.js'
import { ModelStore } from '../../node/models/store.js'
import type { Manifest } from '../../node/models/types.js'

/** Has the store of the data folder `home` use the file where it is, as if its owner had shared it: nothing is fetched. */
export async function placeModel(
  home: string,
  { manifest, file }: { manifest: Manifest; file: string }
): Promise<void> {
  const { modelsFolder } = prepareHome(locateHome({ FLAMBEAU_HOME: home }))
  const store = new ModelStore({ root: modelsFolder })
  await store.start()
  await store.addShared(manifest, { file, gguf: await readGguf(file) })
}
