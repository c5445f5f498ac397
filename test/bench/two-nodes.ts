import { locateHome, prepareHome } from '../../node/home.js'
import { readGguf } from '../../node/models/gguf.js'
import { buildManifest, manifestId } from '../../node/models/manifest.js'
import { ModelStore } from '../../node/models/store.js'
import type { Manifest } from '../../node/models/types.js'
import { remoteStage } from '../../node/pipeline/stage-channel.js'
import type { RingSessionParts, SessionStage } from '../../node/pipeline/ring-session.js'
import { createIdentity } from '../../node/swarm/identity.js'
import { createMembership, saveMembership, type Membership } from '../../node/swarm/membership.js'
import { SwarmNode } from '../../node/swarm/swarm.js'
import { flambeauHome, type RunningNode } from '../support/flambeau-process.js'
import { waitFor } from '../support/wait-for.js'

const ignore = (): void => undefined
const SILENT = { trace: ignore, debug: ignore, info: ignore, warn: ignore, error: ignore, isLevelEnabled: () => false }
/** Milliseconds: a model of several GB is read and its shard written. */
const LOAD_LIMIT = 300_000

export interface TwoNodes extends AsyncDisposable {
  manifest: Manifest
  id: string
  stages: SessionStage[]
  /** An origin in this process. */
  session: RingSessionParts
}

export interface TwoNodesSettings {
  file: string
  cut: number
  threads: number
  context: number
}

/** Two daemons as processes of their own, each with one side of the cut, and an origin here; all on loopback. */
export async function twoNodes(settings: TwoNodesSettings): Promise<TwoNodes> {
  const { file, cut } = settings
  const gguf = await readGguf(file)
  const manifest = await buildManifest({ file, gguf }, { cuts: [cut] })
  const id = manifestId(manifest)
  const membership = createMembership('bench')
  const opened: AsyncDisposable[] = []
  const close = async (): Promise<void> => {
    for (const part of opened.reverse()) await part[Symbol.asyncDispose]()
  }
  try {
    const stages: SessionStage[] = []
    for (const [start, end] of [
      [0, cut],
      [cut, manifest.layers]
    ] as const) {
      const node = await stageNode({ ...settings, manifest, membership, layers: `${start}-${end}` })
      opened.push(node)
      const { peer, addresses } = await node.status()
      membership.bootstrap.push(...addresses)
      stages.push({ peer, start, end, leave: end, local: false, addresses })
    }
    const { swarm, session } = await originHere(membership)
    opened.push({ [Symbol.asyncDispose]: async () => swarm.stop() })
    return { manifest, id, stages, session, [Symbol.asyncDispose]: close }
  } catch (error) {
    await close()
    throw error
  }
}

async function originHere(membership: Membership): Promise<{ swarm: SwarmNode; session: RingSessionParts }> {
  const swarm = new SwarmNode(
    { identity: await createIdentity(), logger: SILENT },
    { membership, agent: 'bench', clientOnly: true, mdns: false, upnp: false }
  )
  await swarm.start()
  return {
    swarm,
    session: {
      openChannel: async (stage, handlers, options) => remoteStage({ swarm }, stage, handlers, options),
      ping: async (peer, options) => swarm.ping(peer, options),
      now: () => performance.now()
    }
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
  const { swarmFile, modelsFolder } = prepareHome(locateHome({ FLAMBEAU_HOME: home.path }))
  await saveMembership(swarmFile, membership)
  const store = new ModelStore({ root: modelsFolder })
  await store.start()
  await store.addShared(manifest, { file, gguf: await readGguf(file) })
  const options = { port: '0', layers, threads: String(threads), context: String(context), memory: '64GiB' }
  const args = Object.entries(options).flatMap(([name, value]) => [`--${name}`, value])
  const node = await home.startNode(['up', '--no-mdns', '--no-upnp', ...args])
  const serves = async (): Promise<boolean> => (await node.status()).shards.length > 0
  await waitFor(serves, { what: `layers ${layers} to be served`, limit: LOAD_LIMIT })
  return { ...node, [Symbol.asyncDispose]: async () => home[Symbol.asyncDispose]() }
}
