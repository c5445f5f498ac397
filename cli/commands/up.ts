import { Option, type Command } from 'commander'
import { LEAVE_DRAIN_MS } from '../../node/availability/constants.js'
import { loadConfig, type ConfigFlags } from '../../node/config.js'
import { SETTING_KEYS, SETTINGS } from '../../node/config-schema.js'
import type { StatusView } from '../../node/control/contract.js'
import type { RunningNode } from '../../node/daemon.js'
import { prepareHome } from '../../node/home.js'
import { createLogger } from '../../node/logger.js'
import { JSON_OPTION, type Context, type DefineCommand, type JsonOption } from '../context.js'
import { membershipForNode } from '../first-run/first-run.js'
import { interruptible } from '../interrupt.js'
import type { Paint } from '../render/colour.js'
import { count, layerRange, printable } from '../render/format.js'
import { reasonsText } from '../render/availability.js'
import { pairs } from '../render/table.js'
import { surviveStrayErrors } from '../stray-errors.js'

export const define: DefineCommand = (command, context) => {
  for (const option of settingOptions()) command.addOption(option)
  command
    .option(...JSON_OPTION)
    .addHelpText(
      'after',
      '\nEach option can stand in config.toml and in the environment as well; see docs/operations.md.'
    )
    .action((options: JsonOption) => up(context, flagsOf(command), options))
}

async function up(context: Context, flags: ConfigFlags, { json }: JsonOption): Promise<void> {
  const membership = await membershipForNode(context, { flags, json })
  const home = prepareHome(context.home)
  const config = await loadConfig({ home, flags, env: context.env })
  const logger = createLogger({ level: config.log.level, ...(json && { readable: false }) })
  using interrupt = interruptible()
  using stray = surviveStrayErrors({ logger })
  const { startDaemon } = await import('../../node/daemon.js')
  const daemon = await startDaemon({ home, config, membership, logger, signal: interrupt.signal })
  try {
    const status = await daemon.service.status()
    context.output.result(json, status, paint => startLines(status, paint))
    await untilEnd(daemon, interrupt.signal)
    if (interrupt.signal.aborted) await leave(context, daemon)
  } finally {
    await daemon.stop()
  }
}

/** Until the node is told to stop: by a signal, by `flambeau down`, or by a failure, which rejects. */
async function untilEnd({ closed }: RunningNode, signal: AbortSignal): Promise<void> {
  const interrupted = new Promise<void>(resolve => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
  await Promise.race([closed, interrupted])
}

/** In order: sessions may move or end. */
async function leave({ output }: Context, { service, closed }: RunningNode): Promise<void> {
  const { sessions } = await service.status()
  const drainSeconds = LEAVE_DRAIN_MS / 1_000
  const waits = `Waits for ${count(sessions.served, 'session')} to move or to end, at most ${drainSeconds} s.`
  output.notes([`${sessions.served === 0 ? 'Stopping.' : waits} Ctrl+C again ends it at once.`])
  await service.stop({ drainSeconds })
  await closed
}

function startLines(status: StatusView, paint: Paint): string[] {
  const kind = status.swarm.closed ? 'closed' : 'open'
  const served = status.shards.map(shard => `${printable(shard.model)} layers ${layerRange(shard)}`)
  const paused = reasonsText(status.availability.pauses, new Date())
  const coming = status.tasks.map(task => `${task.what} ${printable(task.model)}`)
  return [
    `${paint('bold', printable(status.name))} is up.`,
    ...pairs([
      ['peer', status.peer],
      ['swarm', `${printable(status.swarm.name)} (${kind}), ${count(status.peers, 'other node')}`],
      ['engine', status.engine.backend ?? status.engine.state],
      ...(status.addresses.length === 0 ? ['none'] : status.addresses).map(
        (address, index) => [index === 0 ? 'addresses' : '', address] as const
      ),
      ['gateway', status.gateway === undefined ? 'none' : `${status.gateway}/v1`],
      ...(status.page === undefined ? [] : [['page', status.page] as const]),
      ['serves', paused === '' ? [...served, ...coming].join(', ') || 'nothing yet' : `nothing: paused ${paused}`]
    ]),
    'Ctrl+C to stop.'
  ]
}

/** For each setting one option; for each switch also the one that turns it off. */
export function settingOptions(): Option[] {
  return SETTING_KEYS.flatMap(key => {
    const { option, about, form, fallback } = SETTINGS[key]
    if (form !== 'boolean') return [new Option(`--${option}`, aboutWithDefault(about, fallback))]
    const on = new Option(`--${option}`, about).hideHelp(fallback === true)
    const off = new Option(`--no-${option}`, `do not ${about}`).hideHelp(fallback !== true)
    return [on, off]
  })
}

function aboutWithDefault(about: string, fallback: unknown): string {
  const shown = typeof fallback === 'string' || typeof fallback === 'number'
  return shown ? `${about} (default: ${fallback})` : about
}

/** What was typed, by the settings' keys. */
export function flagsOf(command: Command): ConfigFlags {
  const flags: ConfigFlags = {}
  for (const key of SETTING_KEYS) {
    const name = new Option(`--${SETTINGS[key].option}`).attributeName()
    if (command.getOptionValueSource(name) === 'cli') flags[key] = command.getOptionValue(name)
  }
  return flags
}
