import { locateHome, prepareHome } from '../../node/home.js'
import { readGguf } from '../../node/models/gguf.js'
import { buildManifest, manifestId } from '../../node/models/manifest.js'
import type { Manifest } from '../../node/models/types.js'
import { writeShard } from '../../node/models/shard-writer.js'
import { PipelineError } from '../../node/pipeline/errors.js'
import { openRelay } from '../../node/pipeline/relay-link.js'
import { ShardRegistry } from '../../node/pipeline/shard-registry.js'
import { localStage, remoteStage } from '../../node/pipeline/stage-channel.js'
import { StageHost } from '../../node/pipeline/stage-host.js'
import { EngineProcess } from '../../node/engine/engine.js'
import { ENGINE_CHILD } from '../support/engine.js'
import { temporaryFolder } from '../support/temporary.js'
import type { RingSessionParts } from '../../node/pipeline/ring-session.js'
import type { SessionStage } from '../../node/pipeline/session-types.js'
import { createIdentity } from '../../node/swarm/identity.js'
import { createMembership, saveMembership, type Membership } from '../../node/swarm/membership.js'
import { SwarmNode } from '../../node/swarm/swarm.js'
import { flambeauHome, type RunningNode } from '../support/flambeau-process.js'
import { waitFor } from '../support/wait-for.js'
import { placeModel } from './placed-model.js'

const ignore = (): void => undefined
const SILENT = { trace: ignore, debug: ignore, info: ignore, warn: ignore, error: ignore, isLevelEnabled: () => false }
/** Milliseconds: a model of several GB is read and its shard written. */
const LOAD_LIMIT = 300_000

export interface TwoNodes extends AsyncDisposable {
  manifest: Manifest
  id: string
  /** The origin: it is the first node. */
  session: RingSessionParts
}

export interface TwoNodesSettings {
  file: string
  cut: number
  threads: number
  context: number
}

/**
 * Two nodes on loopback: this process with the layers below the cut, which is also the origin, and a daemon with those
 * above it. Each has its engine in a child process.
 */
export async function twoNodes(settings: TwoNodesSettings): Promise<TwoNodes> {
  const { file, cut } = settings
  const gguf = await readGguf(file)
  const manifest = await buildManifest({ file, gguf }, { cuts: [cut] })
  const id = manifestId(manifest)
  const membership = createMembership('bench')
  const other = await stageNode({ ...settings, manifest, membership, layers: `${cut}-${manifest.layers}` })
  try {
    const { peer, addresses } = await other.status()
    membership.bootstrap.push(...addresses)
    const here = await nodeHere({ ...settings, manifest, membership })
    const second = { peer, start: cut, end: manifest.layers, leave: manifest.layers, local: false, addresses }
    const close = async (): Promise<void> => {
      await here[Symbol.asyncDispose]()
      await other[Symbol.asyncDispose]()
    }
    const { session, stage } = here
    const planner = {
      find: () => [stage, second],
      isSlow: () => false,
      lookAround: () => Promise.resolve(false),
      explain: (_: unknown, failure?: PipelineError) => failure ?? new PipelineError('NO_ROUTE', 'no other nodes')
    }
    return { manifest, id, session: { ...session, planner }, [Symbol.asyncDispose]: close }
  } catch (error) {
    await other[Symbol.asyncDispose]()
    throw error
  }
}

/** The parts of a daemon that answer and compute, in this process. */
async function nodeHere(
  settings: TwoNodesSettings & { manifest: Manifest; membership: Membership }
): Promise<{ session: Omit<RingSessionParts, 'planner'>; stage: SessionStage } & AsyncDisposable> {
  const { file, cut, threads, context, manifest, membership } = settings
  const { architecture, layers } = manifest
  const folder = await temporaryFolder()
  const engine = new EngineProcess(
    { childModule: ENGINE_CHILD, logger: SILENT },
    { backend: 'cpu', threads, gpuLayers: 0 }
  )
  const swarm = new SwarmNode(
    { identity: await createIdentity(), logger: SILENT },
    { membership, agent: 'bench', listen: ['/ip4/127.0.0.1/tcp/0'], mdns: false, upnp: false }
  )
  const close = async (): Promise<void> => {
    await swarm.stop()
    await engine.stop()
    await folder.remove()
  }
  try {
    const shardFile = folder.file('shard.gguf')
    await writeShard({ file, gguf: await readGguf(file) }, { start: 0, end: cut }, shardFile)
    await engine.start()
    const shards = new ShardRegistry({ engine }, { context, sequences: 8, batch: 512 })
    const shard = { file: shardFile, architecture, start: 0, end: cut, layers }
    await shards.serve({ manifest: manifestId(manifest), file: shard })
    const now = (): number => performance.now()
    const host = new StageHost({
      shards,
      openRelay: async (next, handlers) => openRelay({ swarm }, next, handlers),
      now
    })
    await swarm.start()
    const session: Omit<RingSessionParts, 'planner'> = {
      openChannel: async (stage, handlers, options) =>
        stage.local ? localStage(host, swarm.peer, handlers) : remoteStage({ swarm }, stage, handlers, options),
      ping: async (peer, options) => swarm.ping(peer, options),
      now
    }
    const stage = { peer: swarm.peer, start: 0, end: cut, leave: cut, local: true, addresses: [] }
    return { session, stage, [Symbol.asyncDispose]: close }
  } catch (error) {
    await close()
    throw error
  }
}

interface StageNodeSettings extends TwoNodesSettings {
  manifest: Manifest
  membership: Membership
  layers: string
}

/** A home that has the whole file already, so that nothing is fetched, and a daemon that serves `layers` of it. */
async function stageNode(settings: StageNodeSettings): Promise<RunningNode & AsyncDisposable> {
  const { file, manifest, membership, layers, threads, context } = settings
  const home = await flambeauHome()
  const { swarmFile } = prepareHome(locateHome({ FLAMBEAU_HOME: home.path }))
  await saveMembership(swarmFile, membership)
  await placeModel(home.path, { manifest, file })
  const options = { port: '0', layers, threads: String(threads), context: String(context), memory: '64GiB' }
  const args = Object.entries(options).flatMap(([name, value]) => [`--${name}`, value])
  const node = await home.startNode(['up', '--no-mdns', '--no-upnp', ...args])
  const serves = async (): Promise<boolean> => (await node.status()).shards.length > 0
  await waitFor(serves, { what: `layers ${layers} to be served`, limit: LOAD_LIMIT })
  return { ...node, [Symbol.asyncDispose]: async () => home[Symbol.asyncDispose]() }
}
