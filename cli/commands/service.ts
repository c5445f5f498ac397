import type { Command } from 'commander'
import { JSON_OPTION, type Context, type DefineCommand, type JsonOption } from '../context.js'
import { interruptible } from '../interrupt.js'
import { requireMembership } from '../membership.js'
import { printable, shellWord } from '../render/format.js'
import { pairs } from '../render/table.js'
import { factsHere, managerHere, settingsLeftBehind } from '../service/here.js'
import {
  installService,
  uninstallService,
  viewService,
  type Installed,
  type ServiceParts,
  type ServiceView
} from '../service/installation.js'
import { runner } from '../service/run.js'
import type { ServiceManager } from '../service/types.js'

interface InstallOptions extends JsonOption {
  dryRun?: boolean
  force?: boolean
}

export const define: DefineCommand = (command, context) => {
  forced(command.command('install').summary('run the node for good, from the login on'), 'replace')
    .option('--dry-run', 'print the file and the commands instead')
    .addHelpText('after', '\nOn Linux a systemd user unit, on macOS a launchd agent. Installing again replaces it.')
    .action((options: InstallOptions) => (options.dryRun ? plan(context, options) : install(context, options)))
  forced(
    command.command('uninstall').summary('stop the service and remove it; the node stays as it is'),
    'remove'
  ).action((options: InstallOptions) => uninstall(context, options))
  command
    .command('status')
    .summary('whether it is installed, enabled and running, and with which data folder')
    .option(...JSON_OPTION)
    .action((options: JsonOption) => status(context, options))
}

function forced(command: Command, verb: string): Command {
  return command.option('--force', `${verb} also a file that was edited, or that is not ours`).option(...JSON_OPTION)
}

function partsOf(context: Context, signal: AbortSignal): ServiceParts {
  return { manager: managerHere(context), run: runner(context.env, signal), home: context.home, signal }
}

function plan(context: Context, { json }: InstallOptions): void {
  const manager = managerHere(context)
  const text = manager.text(factsHere(context))
  const commands = manager.install.map(({ command }) => command)
  context.output.result(json, { file: manager.file, text, commands }, () => [
    `Would write ${printable(manager.file)}:`,
    '',
    ...text.trimEnd().split('\n'),
    '',
    'Would run:',
    ...commands.map(words => words.map(shellWord).join(' '))
  ])
}

async function install(context: Context, { json, force = false }: InstallOptions): Promise<void> {
  using interrupt = interruptible()
  const parts = partsOf(context, interrupt.signal)
  await requireMembership(context)
  const installed = await installService(parts, factsHere(context), { force })
  const view = await viewService(parts)
  const advice = [...(await parts.manager.advice(parts.run)), ...leftBehind(context)]
  context.output.result(json, { ...view, ...installed, pid: view.pid, advice }, () => [
    ...installLines(parts.manager, installed),
    ...advice
  ])
}

function installLines({ file }: ServiceManager, { replaced, answers, pid }: Installed): string[] {
  const runs = answers ? `The node runs as process ${pid ?? ''}` : 'The node is started and does not answer yet'
  return [
    `${replaced ? 'Replaced' : 'Wrote'} ${printable(file)}.`,
    `${runs}; it starts again when it fails, and with your next login.`,
    'What it logs: `flambeau logs --follow`. How it is: `flambeau status`. To undo this: `flambeau service uninstall`.'
  ]
}

function leftBehind(context: Context): string[] {
  const names = settingsLeftBehind(context)
  return names.length === 0 ? [] : [`The service does not see ${names.join(', ')}: config.toml is the place for them.`]
}

async function uninstall(context: Context, { json, force = false }: InstallOptions): Promise<void> {
  using interrupt = interruptible()
  const parts = partsOf(context, interrupt.signal)
  await uninstallService(parts, { force })
  context.output.result(json, { removed: parts.manager.file }, () => [
    `The service is stopped, and ${printable(parts.manager.file)} is removed. The data folder stays.`
  ])
}

async function status(context: Context, { json }: JsonOption): Promise<void> {
  using interrupt = interruptible()
  const view = await viewService(partsOf(context, interrupt.signal))
  context.output.result(json, view, () => statusLines(view))
}

function statusLines({ installed, edited, enabled, running, pid, home, manager, file }: ServiceView): string[] {
  const how = edited ? ', edited or not by `flambeau service install`' : ''
  return pairs([
    ['installed', installed ? `yes, with ${manager}${how}` : `no: \`flambeau service install\``],
    ['enabled', enabled ? 'yes' : 'no'],
    ['running', running ? `yes, process ${pid ?? ''}` : 'no'],
    ['home', home === null ? '-' : printable(home)],
    ['file', printable(file)]
  ])
}
