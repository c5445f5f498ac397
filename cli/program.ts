import { Command } from 'commander'
import { locateHome } from '../node/home.js'
import { VERSION } from '../node/version.js'
import type { Context, DefineCommand } from './context.js'
import { EXIT, EXIT_MEANINGS, type ExitCode } from './exit-codes.js'
import { reportFailure } from './failure.js'
import { Output } from './output.js'
import { table } from './render/table.js'

interface Entry {
  name: string
  summary: string
  /** Loaded only when it is asked for: most commands need a fraction of the code. */
  load: () => Promise<{ define: DefineCommand }>
}

export const COMMANDS: readonly Entry[] = [
  { name: 'up', summary: 'run a node in the foreground', load: () => import('./commands/up.js') },
  { name: 'pause', summary: 'give this machine back for a while', load: () => import('./commands/pause.js') },
  { name: 'resume', summary: 'serve again', load: () => import('./commands/resume.js') },
  { name: 'drain', summary: 'let sessions move or end, then stop', load: () => import('./commands/drain.js') },
  { name: 'down', summary: 'stop the running node', load: () => import('./commands/down.js') },
  { name: 'run', summary: 'answer one prompt', load: () => import('./commands/run.js') },
  { name: 'chat', summary: 'talk to a model', load: () => import('./commands/chat.js') },
  { name: 'plan', summary: 'how fast a model would answer, before asking', load: () => import('./commands/plan.js') },
  { name: 'status', summary: 'this node: shards, sessions, engine', load: () => import('./commands/status.js') },
  { name: 'peers', summary: 'the nodes of the swarm', load: () => import('./commands/peers.js') },
  { name: 'models', summary: 'models, and who serves which layers', load: () => import('./commands/models.js') },
  { name: 'share', summary: 'offer a GGUF model to the swarm', load: () => import('./commands/share.js') },
  { name: 'remove', summary: 'no longer hold a model on this node', load: () => import('./commands/remove.js') },
  { name: 'swarm', summary: 'create, join, leave, show a swarm', load: () => import('./commands/swarm.js') },
  { name: 'join', summary: 'join a swarm by invitation', load: () => import('./commands/join.js') },
  { name: 'key', summary: 'keys for programs that use this node', load: () => import('./commands/key.js') },
  { name: 'shard', summary: 'check how a model splits', load: () => import('./commands/shard.js') },
  { name: 'doctor', summary: 'check this machine', load: () => import('./commands/doctor.js') },
  { name: 'service', summary: 'run the node for good', load: () => import('./commands/service.js') },
  { name: 'logs', summary: 'what the service logs', load: () => import('./commands/logs.js') },
  { name: 'completions', summary: 'for bash, zsh or fish', load: () => import('./commands/completions.js') },
  { name: 'demo', summary: 'three nodes on this machine answer together', load: () => import('./commands/demo.js') }
]

const EPILOGUE = `
Start here:
  flambeau demo                      see it work, on this machine alone
  flambeau join INVITATION           become a member of a swarm
  flambeau up                        give it some layers
  flambeau run MODEL "a question"    ask

Exit codes: flambeau help exit-codes. Data: ~/.flambeau, or FLAMBEAU_HOME.
`

/** Runs one command line; never throws. Returns the exit code. */
export async function main(args: readonly string[]): Promise<ExitCode> {
  const output = new Output(process, process.env)
  process.stdout.on('error', onOutputError)
  process.stderr.on('error', onOutputError)
  try {
    if (args[0] === 'help' && args[1] === 'exit-codes') output.lines(exitCodeTable())
    else await parse(args, { output, env: process.env, stdin: process.stdin, home: locateHome(process.env) })
    return typeof process.exitCode === 'number' ? (process.exitCode as ExitCode) : EXIT.OK
  } catch (error) {
    const json = beforeDashes(args).includes('--json')
    return reportFailure(error, output, { json, debug: process.env['FLAMBEAU_DEBUG'] === '1' })
  }
}

async function parse(args: readonly string[], context: Context): Promise<void> {
  const words = args.filter(word => !word.startsWith('-'))
  const wanted = words[0] === 'help' ? words[1] : words[0]
  const program = await programOf(context, name => name === wanted)
  await program.parseAsync(args, { from: 'user' })
}

/** The command line, with the options and arguments of those commands that are `wanted`. */
export async function programOf(context: Context, wanted: (name: string) => boolean): Promise<Command> {
  const program = new Command('flambeau')
    .description("A community inference mesh: volunteers each run a range of a model's layers.")
    .version(VERSION, '-V, --version')
    .helpCommand('help [command]', 'show help for a command')
    .addHelpText('after', EPILOGUE)
    .showSuggestionAfterError()
  quiet(program)
  for (const { name, summary, load } of COMMANDS) {
    const command = program.command(name).summary(summary).description(summary)
    if (wanted(name)) (await load()).define(command, context)
    quietTree(command)
  }
  return program
}

/** Errors are thrown and told by `reportFailure`; only help is written by the parser. */
function quiet(command: Command): void {
  command.exitOverride().configureOutput({ outputError: () => undefined })
}

function quietTree(command: Command): void {
  quiet(command)
  command.commands.forEach(quietTree)
}

function beforeDashes(args: readonly string[]): readonly string[] {
  const dashes = args.indexOf('--')
  return dashes === -1 ? args : args.slice(0, dashes)
}

export function exitCodeTable(): string[] {
  const rows = EXIT_MEANINGS.map(([code, meaning]) => [String(code), meaning])
  return table([{ title: 'code', align: 'right' }, { title: 'meaning' }], rows)
}

/** `flambeau run … | head -1`: the reader left, and nobody is there to be told. */
function onOutputError(error: NodeJS.ErrnoException): void {
  if (error.code === 'EPIPE') process.exit(EXIT.OK)
  throw error
}
