import { availableParallelism } from 'node:os'
import type { GenerateRequest } from '../../node/control/contract.js'
import type { ControlService } from '../../node/control/service.js'
import { readGguf } from '../../node/models/gguf.js'
import { buildManifest } from '../../node/models/manifest.js'
import type { Host } from '../support/internet.js'
import { type Mesh, startMesh } from '../support/mesh.js'
import { type TemporaryFolder, temporaryFolder } from '../support/temporary.js'
import { writeTinyModel } from '../support/tiny-model.js'
import { waitFor } from '../support/wait-for.js'
import { placeModel } from './placed-model.js'
import { LOW_PRIORITY, restorePriority } from './priority.js'

/** Milliseconds in which all nodes have written and loaded their layers, on a machine with much to do. */
const SERVE_LIMIT = 300_000
/** Milliseconds in which a node that was started serves again, and its neighbours know. */
const RETURN_LIMIT = 120_000
/** Milliseconds between two looks: the looks are part of the load. */
const INTERVAL = 100

export interface BenchMeshSettings {
  file: string
  /** Its name in the swarm. */
  name: string
  /** Of the nodes after the origin, such as 0-3. */
  ranges: readonly string[]
  /** KV positions of each node. */
  context: number
  /** Where each node runs, the origin first; this machine's own network by default. */
  hosts?: readonly Host[]
}

/**
 * Daemons on loopback, one engine thread each: node 0 is the origin and serves nothing, the others serve their ranges.
 * All have the model's file in their stores: nothing is fetched.
 */
export interface BenchMesh extends AsyncDisposable {
  mesh: Mesh
  name: string
  /** Its control interface. @throws Error when it has ended: there is no use in asking it */
  origin: () => ControlService
  /** By node; the origin's is empty. */
  ranges: readonly string[]
  prepare: (home: string) => Promise<void>
  /** Until the node serves, and the origin has heard of it. */
  serving(index: number): Promise<void>
  /**
   * Once the process of the node has ended: starts it again, until it serves and the origin has heard of it. `aside`:
   * until then it gets what others leave of the processors.
   */
  comeBack(index: number, options?: { aside?: boolean }): Promise<void>
}

/** @throws Error with the nodes' output when the model does not become complete. */
export async function benchMesh(settings: BenchMeshSettings): Promise<BenchMesh> {
  const { file, name, context, hosts = [] } = settings
  const gguf = await readGguf(file)
  const bounds = settings.ranges.flatMap(range => range.split('-').map(Number))
  const cuts = [...new Set(bounds)].filter(cut => cut > 0 && cut < Math.max(...bounds)).sort((a, b) => a - b)
  const manifest = await buildManifest({ file, gguf }, { name, cuts })
  const prepare = async (home: string): Promise<void> => placeModel(home, { manifest, file })
  const mesh = await startMesh({
    nodes: [
      { args: ['--models', 'none', '--gateway', '127.0.0.1:0'], host: hosts[0] },
      ...settings.ranges.map((layers, i) => ({ layers, host: hosts[i + 1] }))
    ],
    ...{ models: [], context, prepare }
  })
  const peers = new Map<number, string>()
  const ranges = ['', ...settings.ranges]
  const serving = async (index: number, limit = RETURN_LIMIT): Promise<void> => {
    const { service } = mesh.node(index)
    const looks = { limit, interval: INTERVAL }
    await waitFor(async () => (await service.status()).shards.length > 0, { ...looks, what: `node ${index} to serve` })
    const peer = peers.get(index) ?? (await service.status()).peer
    peers.set(index, peer)
    await waitFor(async () => isServing(mesh, name, peer), { ...looks, what: `the origin to hear of node ${index}` })
  }
  const comeBack = async (index: number, { aside = false } = {}): Promise<void> => {
    const { process } = await mesh.restart(index, [], { within: aside ? LOW_PRIORITY : [] })
    await serving(index)
    if (aside) await restorePriority(process.pid)
  }
  try {
    for (const index of settings.ranges.keys()) await serving(index + 1, SERVE_LIMIT)
  } catch (error) {
    await mesh[Symbol.asyncDispose]()
    throw error
  }
  const watch = { over: false }
  void reportEnd(mesh, watch)
  const dispose = async (): Promise<void> => {
    watch.over = true
    await mesh[Symbol.asyncDispose]()
  }
  const origin = (): ControlService => {
    const { process, service } = mesh.node(0)
    if (process.hasEnded) throw new Error('the origin has ended, which nothing was done to')
    return service
  }
  return { mesh, name, origin, ranges, prepare, serving, comeBack, [Symbol.asyncDispose]: dispose }
}

/** Nothing is done to the origin: what it said tells why it ended all the same. */
async function reportEnd(mesh: Mesh, watch: { over: boolean }): Promise<void> {
  const { code, stderr } = await mesh.node(0).process.ended
  if (!watch.over) console.error(`the origin ended with ${code ?? 'a signal'}:\n${stderr}`)
}

/** Whether the origin shows the peer as serving, over a connection that it has. */
async function isServing(mesh: Mesh, name: string, peer: string): Promise<boolean> {
  const { service } = mesh.node(0)
  const [models, peers] = [await service.models(), await service.peers()]
  const holders = models.find(model => model.name === name)?.holders ?? []
  const connected = peers.some(view => view.peer === peer && view.path !== 'unconnected')
  return connected && holders.some(holder => holder.peer === peer && holder.serving)
}

/** Positions of the small model, and of all sessions of a node together. */
const BABBLE_CONTEXT = 65_536

/** A random model of a megabyte in three parts with two holders each: what it computes costs next to nothing. */
export async function babbleMesh(): Promise<BenchMesh> {
  const folder: TemporaryFolder = await temporaryFolder()
  try {
    const { file } = await writeTinyModel(folder.file('babble.gguf'), {
      architecture: 'llama',
      context: BABBLE_CONTEXT
    })
    const ranges = ['0-3', '3-6', '6-8', '0-3', '3-6', '6-8']
    const bench = await benchMesh({ file, name: 'babble', ranges, context: BABBLE_CONTEXT })
    const dispose = async (): Promise<void> => {
      await bench[Symbol.asyncDispose]()
      await folder.remove()
    }
    return { ...bench, [Symbol.asyncDispose]: dispose }
  } catch (error) {
    await folder.remove()
    throw error
  }
}

/** Continues `prompt` greedily, in f32 and with exact replays: alone it has the same tokens whatever happens. */
export function babbleRequest(changes: Partial<GenerateRequest> & { maxTokens: number }): GenerateRequest {
  const { maxTokens, sampling, ...others } = changes
  return {
    ...{ model: 'babble', prompt: 'the', raw: true, dtype: 'f32', replay: 'exact', ...others },
    sampling: { temperature: 0, maxTokens, ...sampling }
  }
}

/** What the figures depend on besides the options. */
export const machine = (): string => `${availableParallelism()} cores, Node ${process.version}`
