import { createHash } from 'node:crypto'
import { accessSync, chmodSync, constants, existsSync, lstatSync, mkdirSync } from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { asError, CodedError } from '../protocol/errors.js'

/** Where everything of one node lives on disk. */
export interface Home {
  path: string
  configFile: string
  /** Ed25519 private key of the peer. */
  identityFile: string
  /** Membership of a swarm. */
  swarmFile: string
  modelsFolder: string
  /** Keys of the gateway, without their secrets. */
  keysFolder: string
  /** What keys have spent today. */
  keysUsageFile: string
  /** The last answers, with what was expected of them. */
  estimatesFile: string
  /** libp2p's own state. */
  datastoreFolder: string
  /** Path of the Unix socket, or name of the pipe on Windows. */
  controlSocket: string
}

export type HomeErrorCode = 'HOME_UNUSABLE' | 'SOCKET_FOLDER_UNSAFE'

/** The data folder cannot be used. */
export class HomeError extends CodedError<HomeErrorCode> {
  override name = 'HomeError'
}

/** Bytes in `sockaddr_un.sun_path` on macOS less the final zero (Linux has 107). */
const MAX_SOCKET_PATH_BYTES = 103

type Environment = Readonly<Record<string, string | undefined>>

/** `FLAMBEAU_HOME`, or `~/.flambeau`. Only works out paths; creates nothing. */
export function locateHome(env: Environment = process.env, platform: NodeJS.Platform = process.platform): Home {
  const chosen = env['FLAMBEAU_HOME']
  const path = resolve(chosen === undefined || chosen === '' ? join(homedir(), '.flambeau') : chosen)
  return {
    path,
    configFile: join(path, 'config.toml'),
    identityFile: join(path, 'identity.key'),
    swarmFile: join(path, 'swarm.json'),
    modelsFolder: join(path, 'models'),
    keysFolder: join(path, 'keys'),
    keysUsageFile: join(path, 'keys-usage.json'),
    estimatesFile: join(path, 'estimates.json'),
    datastoreFolder: join(path, 'datastore'),
    controlSocket: controlSocket(path, platform)
  }
}

/** Creates the folders, mode 0700, and makes sure that they can be written. Throws `HomeError`. */
export function prepareHome(home: Home): Home {
  try {
    for (const folder of [home.path, home.modelsFolder, home.datastoreFolder]) {
      makeFolder(folder)
    }
    accessSync(home.path, constants.R_OK | constants.W_OK | constants.X_OK)
    if (process.platform !== 'win32') chmodSync(home.path, 0o700)
  } catch (error) {
    throw new HomeError(
      'HOME_UNUSABLE',
      `The data folder ${home.path} cannot be used (${asError(error).message}). Make it writable, or set FLAMBEAU_HOME to a folder that is.`,
      { details: { path: home.path }, cause: error }
    )
  }
  if (process.platform !== 'win32' && dirname(home.controlSocket) !== home.path) prepareSocketFolder(home.controlSocket)
  return home
}

/** Not `recursive`: that never returns on a file system that refuses with ENOENT, as /proc does. */
function makeFolder(path: string): void {
  if (existsSync(path)) return
  makeFolder(dirname(path))
  try {
    mkdirSync(path, { mode: 0o700 })
  } catch (error) {
    // Another process made it in between.
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  }
}

function controlSocket(path: string, platform: NodeJS.Platform): string {
  const hash = createHash('sha256').update(path).digest('hex').slice(0, 16)
  if (platform === 'win32') return `\\\\.\\pipe\\flambeau-${hash}`
  const inHome = join(path, 'control.sock')
  if (Buffer.byteLength(inHome) <= MAX_SOCKET_PATH_BYTES) return inHome
  const user = process.getuid?.() ?? 'user'
  const inTemporary = join(tmpdir(), `flambeau-${user}`, `${hash}.sock`)
  if (Buffer.byteLength(inTemporary) <= MAX_SOCKET_PATH_BYTES) return inTemporary
  return join('/tmp', `flambeau-${user}`, `${hash}.sock`)
}

/** The temporary folder belongs to everybody: the socket's own folder in it must be this user's alone. */
function prepareSocketFolder(socket: string): void {
  const folder = dirname(socket)
  makeFolder(folder)
  const status = lstatSync(folder)
  const own = status.isDirectory() && status.uid === process.getuid?.() && (status.mode & 0o077) === 0
  if (own) return
  throw new HomeError(
    'SOCKET_FOLDER_UNSAFE',
    `${folder} exists and is not a folder of yours alone (mode 0700). Remove it, or set FLAMBEAU_HOME to a shorter path so that the control socket fits there.`,
    { details: { folder } }
  )
}
