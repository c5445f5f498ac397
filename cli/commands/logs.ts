import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { wholeBetween } from '../arguments.js'
import type { Context, DefineCommand } from '../context.js'
import { CliError } from '../errors.js'
import { ServiceError } from '../service/errors.js'
import { readServiceFile } from '../service/file.js'
import { managerHere } from '../service/here.js'
import { noService } from '../service/installation.js'
import { readableLog } from '../service/log-lines.js'
import { missing } from '../service/run.js'

const DEFAULT_LINES = 100
const MAX_LINES = 1_000_000
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

interface LogsOptions {
  follow?: boolean
  lines: number
  json?: boolean
}

export const define: DefineCommand = (command, context) => {
  command
    .option('--follow', 'go on with what comes, until Ctrl+C')
    .option('--lines <count>', 'how many of the last lines', wholeBetween(0, MAX_LINES), DEFAULT_LINES)
    .option('--json', 'JSON lines, as they were written, also on a terminal')
    .addHelpText('after', '\nOf the service; `flambeau up` writes its log to its own terminal.')
    .action((options: LogsOptions) => logs(context, options))
}

async function logs(context: Context, { follow = false, lines, json = false }: LogsOptions): Promise<void> {
  const manager = managerHere(context)
  if ((await readServiceFile(manager)) === undefined) throw noService()
  const [program = '', ...args] = manager.logCommand({ lines, follow })
  const readable = !json && context.output.stdout.isTTY
  const child = spawn(program, args, { env: context.env, stdio: ['ignore', readable ? 'pipe' : 'inherit', 'inherit'] })
  using passing = passSignals(child)
  const code = await ended(child, program, readable ? context : undefined)
  if (passing.interrupted) throw new CliError('INTERRUPTED', 'Interrupted.')
  if (code === 0) return
  throw new ServiceError('SERVICE_FAILED', `${program} ended with ${code ?? 'a signal'}.`, {
    details: { program, code }
  })
}

/** Its exit code, once all that it wrote is shown; 0 where nobody reads on, null for another signal. */
async function ended(child: ChildProcess, program: string, shown: Context | undefined): Promise<number | null> {
  if (shown !== undefined && child.stdout !== null) {
    const { output, env } = shown
    child.stdout.pipe(readableLog(output.stdout, { colours: !env['NO_COLOR'] }))
  }
  try {
    const [code, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null]
    return signal === 'SIGPIPE' ? 0 : code
  } catch (error) {
    throw (error as NodeJS.ErrnoException).code === 'ENOENT' ? missing(program) : error
  }
}

/** What ends this command ends the one that it runs, and that one is waited for. */
function passSignals(child: ChildProcess): Disposable & { interrupted: boolean } {
  const onSignal = (name: NodeJS.Signals): void => {
    passing.interrupted = true
    child.kill(name)
  }
  for (const name of SIGNALS) process.on(name, onSignal)
  const passing = {
    interrupted: false,
    [Symbol.dispose]() {
      for (const name of SIGNALS) process.off(name, onSignal)
    }
  }
  return passing
}
