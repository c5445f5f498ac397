import { rm } from 'node:fs/promises'
import { connectToDaemon } from '../../node/control/client.js'
import { ControlError } from '../../node/control/errors.js'
import { deadline, delay } from '../../node/deadline.js'
import type { Home } from '../../node/home.js'
import { EXIT_MEANINGS } from '../exit-codes.js'
import { COMMAND_MS, LOOK_MS, START_MS } from './constants.js'
import { ServiceError } from './errors.js'
import { checkAuthor, readServiceFile, writeServiceFile } from './file.js'
import { succeeded, type Run } from './run.js'
import type { ServiceFacts, ServiceManager, ServiceState, Step } from './types.js'

export interface ServiceParts {
  manager: ServiceManager
  run: Run
  /** Of the node; the one that the service is to run. */
  home: Home
  signal: AbortSignal
}

/** What there is of the service; `--json` prints it as it is. */
export interface ServiceView {
  installed: boolean
  /** The file is not as `install` wrote it. */
  edited: boolean
  enabled: boolean
  running: boolean
  pid: number | null
  /** The data folder that it runs; null where nobody can tell. */
  home: string | null
  manager: ServiceManager['name']
  file: string
}

export interface Installed {
  replaced: boolean
  /** The node answers already; one with a lot to load takes longer. */
  answers: boolean
  pid: number | undefined
}

/**
 * Writes the service's file, or replaces it, and starts the node.
 * @throws ServiceError
 * @throws ControlError ALREADY_RUNNING where a node runs on this home that is not the service's
 */
export async function installService(
  parts: ServiceParts,
  facts: ServiceFacts,
  { force }: { force: boolean }
): Promise<Installed> {
  const { manager, run, home } = parts
  const text = manager.text(facts)
  const present = await readServiceFile(manager)
  checkAuthor(present, manager, force)
  await refuseOtherNode(home, await manager.state(run))
  await writeServiceFile(manager, text)
  await takeSteps(parts, manager.install)
  return { replaced: present !== undefined, ...(await started(parts)) }
}

/** Stops the service and removes its file. @throws ServiceError NO_SERVICE where there is none */
export async function uninstallService(parts: ServiceParts, { force }: { force: boolean }): Promise<void> {
  const { manager, run } = parts
  const present = await readServiceFile(manager)
  if (present === undefined) throw noService()
  checkAuthor(present, manager, force)
  await manager.state(run)
  await takeSteps(parts, manager.stop)
  await rm(manager.file, { force: true })
  await takeSteps(parts, manager.forget)
}

export async function viewService({ manager, run }: Pick<ServiceParts, 'manager' | 'run'>): Promise<ServiceView> {
  const present = await readServiceFile(manager)
  const { enabled, running, pid } = await manager.state(run)
  return {
    installed: present !== undefined,
    edited: present !== undefined && present.author !== 'ours',
    enabled,
    running,
    pid: pid ?? null,
    home: (present && manager.homeIn(present.text)) ?? null,
    manager: manager.name,
    file: manager.file
  }
}

export function noService(): ServiceError {
  return new ServiceError(
    'NO_SERVICE',
    'No service is installed here: `flambeau service install` installs one. What `flambeau up` logs is on its own terminal.'
  )
}

async function refuseOtherNode(home: Home, { pid }: ServiceState): Promise<void> {
  const daemon = await connectToDaemon(home)
  if (daemon === undefined || (await daemon.status()).pid === pid) return
  throw new ControlError(
    'ALREADY_RUNNING',
    `A node that is no service runs on ${home.path}. Stop it with \`flambeau down\` first.`
  )
}

async function takeSteps(parts: ServiceParts, steps: readonly Step[]): Promise<void> {
  for (const { command, mayFail = false, untilUnloaded = false } of steps) {
    const done = await parts.run(command)
    if (!mayFail) succeeded(command, done)
    if (untilUnloaded) await unloaded(parts)
  }
}

async function unloaded({ manager, run, signal }: ServiceParts): Promise<void> {
  using limit = deadline('stopping the service', COMMAND_MS, signal)
  while ((await manager.state(run)).loaded) await delay(LOOK_MS, limit.signal)
}

/** Waits a while for the node to answer, to tell at once of what keeps it from starting, such as a port that is taken. */
async function started({ manager, run, home, signal }: ServiceParts): Promise<Omit<Installed, 'replaced'>> {
  const end = performance.now() + START_MS
  for (;;) {
    const state = await manager.state(run)
    if (state.failed) throw endedAtOnce(state)
    const answers = state.pid !== undefined && (await pidOfNode(home)) === state.pid
    if (answers || performance.now() >= end) return { answers, pid: state.pid }
    await delay(LOOK_MS, signal)
  }
}

/** Undefined where no node answers on the home now. */
async function pidOfNode(home: Home): Promise<number | undefined> {
  const daemon = await connectToDaemon(home)
  return daemon?.status().then(
    ({ pid }) => pid,
    () => undefined // it ends, or does not listen yet
  )
}

function endedAtOnce({ exitCode }: ServiceState): ServiceError {
  const meaning = EXIT_MEANINGS.find(([code]) => code === exitCode)?.[1]
  const why = meaning === undefined ? '' : ` with exit code ${exitCode ?? ''} (${meaning})`
  return new ServiceError(
    'SERVICE_FAILED',
    `The service is installed, but its node ends at once${why}. \`flambeau logs\` says why; then install again.`,
    { details: { exitCode } }
  )
}
