import { existsSync } from 'node:fs'
import { statfs } from 'node:fs/promises'
import { loadConfig, shareBytes, type Config } from '../../node/config.js'
import { connectToDaemon } from '../../node/control/client.js'
import type { PeerView, StatusView } from '../../node/control/contract.js'
import type { ControlService } from '../../node/control/service.js'
import { findLibraries } from '../../node/engine/libraries.js'
import type { Backend } from '../../node/engine/types.js'
import { readHardware, type Hardware } from '../../node/hardware.js'
import { prepareHome } from '../../node/home.js'
import { createLogger } from '../../node/logger.js'
import { loadOrCreateIdentity } from '../../node/swarm/identity.js'
import { loadMembership, type Membership } from '../../node/swarm/membership.js'
import { asError } from '../../protocol/errors.js'
import type { Context } from '../context.js'
import { startEngine } from '../engine.js'
import { bytes, count } from '../render/format.js'
import { fail, ok, warn, type Check } from './check.js'
import { addressCheck, bootstrapChecks, portCheck } from './network.js'

interface Options {
  signal: AbortSignal
}

/** From the ground up: what a check needs was checked before it. */
export async function* runChecks(context: Context, options: Options): AsyncGenerator<Check, void, undefined> {
  yield nodeCheck(process.versions.node)
  const home = attempt('home', () => prepareHome(context.home).path)
  yield home
  const hardware = await readHardware()
  const loaded = await loadConfig({ home: context.home, env: context.env }).catch((error: unknown) => asError(error))
  if (loaded instanceof Error) {
    yield fail('config', loaded.message, `Correct it in ${context.home.configFile}, or in the environment.`)
    return
  }
  yield ok(
    'config',
    existsSync(context.home.configFile) ? context.home.configFile : 'no config.toml: the defaults hold'
  )
  yield processorCheck(hardware, loaded)
  yield memoryCheck(hardware, loaded)
  if (home.state === 'ok') {
    yield await diskCheck(context.home.modelsFolder)
    yield await identityCheck(context.home.identityFile)
  }
  yield libraryCheck()
  const daemon = await connectToDaemon(context.home)
  yield* daemon === undefined ? checksAlone(context, loaded, options) : checksWithDaemon(daemon, options)
}

async function* checksAlone(
  context: Context,
  config: Config,
  options: Options
): AsyncGenerator<Check, void, undefined> {
  yield ok('daemon', 'not running')
  yield await engineCheck(config, options)
  yield await portCheck(config.network.port)
  const membership = await loadMembership(context.home.swarmFile).catch((error: unknown) => asError(error))
  if (membership instanceof Error) {
    yield fail('swarm', membership.message, 'Delete the file and join again.')
    return
  }
  yield swarmCheck(membership)
  if (membership !== undefined) yield* bootstrapChecks([...membership.bootstrap, ...config.network.bootstrap], options)
}

async function* checksWithDaemon(daemon: ControlService, options: Options): AsyncGenerator<Check, void, undefined> {
  const status = await daemon.status(options)
  yield ok('daemon', `running as process ${status.pid}, ${status.state}`)
  yield runningEngineCheck(status)
  yield ok('swarm', `${status.swarm.name} (${status.swarm.closed ? 'closed' : 'open'})`)
  yield addressCheck(status.addresses)
  yield peerCheck(await daemon.peers(options))
}

/** As in package.json. */
const OLDEST_NODE = [20, 19] as const

export function nodeCheck(version: string): Check {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  const [oldestMajor, oldestMinor] = OLDEST_NODE
  const enough = major > oldestMajor || (major === oldestMajor && minor >= oldestMinor)
  const found = `${version} on ${process.platform} ${process.arch}`
  return enough ? ok('node', found) : fail('node', found, `Install Node.js ${OLDEST_NODE.join('.')} or newer.`)
}

function attempt(name: string, act: () => string): Check {
  try {
    return ok(name, act())
  } catch (error) {
    return fail(name, asError(error).message, 'Nothing works without it.')
  }
}

export function processorCheck({ cpu, cores }: Hardware, { engine }: Pick<Config, 'engine'>): Check {
  const found = `${cpu}, ${count(cores, 'physical core')}, ${count(engine.threads, 'thread')} used`
  if (engine.threads <= cores) return ok('processor', found)
  return warn('processor', found, 'More threads than physical cores are slower: lower engine.threads.')
}

/** Bytes: less holds no layers of any model worth sharing. */
const LITTLE_MEMORY = 512 * 2 ** 20

export function memoryCheck({ memoryTotal, memoryFree }: Hardware, { share }: Pick<Config, 'share'>): Check {
  const given = shareBytes(share.memory, memoryFree)
  const found = `${bytes(memoryFree)} free of ${bytes(memoryTotal)}, ${bytes(given)} for layers`
  if (given > memoryFree) return warn('memory', found, 'More is promised than is free: lower share.memory.')
  return given < LITTLE_MEMORY
    ? warn('memory', found, 'That holds few layers: free some, or raise share.memory.')
    : ok('memory', found)
}

/** Bytes: the layers that a node takes on are files first. */
const LITTLE_DISK = 2 * 2 ** 30

async function identityCheck(file: string): Promise<Check> {
  if (!existsSync(file)) return ok('identity', 'none yet: the first start makes one')
  try {
    const { peer } = await loadOrCreateIdentity(file)
    return ok('identity', peer)
  } catch (error) {
    return fail('identity', asError(error).message, 'Without it the node does not start.')
  }
}

async function diskCheck(folder: string): Promise<Check> {
  const { bavail, bsize } = await statfs(folder)
  const free = bavail * bsize
  const found = `${bytes(free)} free for models`
  return free < LITTLE_DISK
    ? warn('disk', found, 'Layers are stored as files: free some space, or move FLAMBEAU_HOME.')
    : ok('disk', found)
}

const BACKENDS: readonly Backend[] = ['cuda', 'metal', 'vulkan', 'cpu']

function libraryCheck(): Check {
  const found = BACKENDS.filter(backend => findLibraries(backend) !== undefined)
  if (found.length > 0) return ok('libraries', `llama.cpp for ${found.join(', ')}`)
  const advice = 'Install again without --omit=optional; this platform may have none.'
  return fail('libraries', `none for ${process.platform} ${process.arch}`, advice)
}

async function engineCheck(config: Config, options: Options): Promise<Check> {
  try {
    await using started = await startEngine({ config, logger: createLogger({ level: 'silent' }) }, options)
    const { backend, devices } = started.info
    const names = devices
      // For the CPU, llama.cpp calls all memory free.
      .map(({ name, memoryFree }) => (backend === 'cpu' ? name : `${name} with ${bytes(memoryFree)} free`))
      .join(', ')
    return ok('engine', `${backend}${names === '' ? '' : ` on ${names}`}`)
  } catch (error) {
    options.signal.throwIfAborted()
    return fail('engine', asError(error).message, 'Try `engine.backend = "cpu"`; update the drivers for anything else.')
  }
}

function runningEngineCheck({ engine }: StatusView): Check {
  const found = `${engine.state}, ${engine.backend ?? 'no backend'}, ${count(engine.restarts, 'restart')}`
  if (engine.state !== 'ready') return warn('engine', found, 'See the daemon log.')
  return engine.restarts > 0
    ? warn('engine', found, 'It ended unexpectedly before: see the daemon log.')
    : ok('engine', found)
}

function swarmCheck(membership: Membership | undefined): Check {
  if (membership !== undefined) return ok('swarm', membership.name)
  return warn(
    'swarm',
    'none',
    'Join one with `flambeau join INVITATION`, or begin one with `flambeau swarm create NAME`.'
  )
}

export function peerCheck(peers: readonly PeerView[]): Check {
  const others = peers.filter(({ self }) => !self)
  const [direct, relayed, unconnected] = (['direct', 'relayed', 'unconnected'] as const).map(
    path => others.filter(peer => peer.path === path).length
  )
  const found = `${count(others.length, 'other node')}: ${direct ?? 0} direct, ${relayed ?? 0} relayed, ${unconnected ?? 0} without a connection`
  if (others.length === 0) return warn('peers', 'no other nodes', 'Invite some: `flambeau swarm invite`.')
  return direct === 0
    ? warn('peers', found, 'Answers are slow or impossible without direct connections: forward the port.')
    : ok('peers', found)
}
