import { CommanderError } from 'commander'
import { errorView, isCoded } from '../node/control/errors.js'
import { asError } from '../protocol/errors.js'
import { EXIT, exitCodeOf, type ExitCode } from './exit-codes.js'
import type { Output } from './output.js'
import { printable } from './render/format.js'

/** What to do next, for errors whose message comes from where nobody knows about commands. */
const HINTS: Readonly<Record<string, string>> = {
  UNKNOWN_MODEL: '`flambeau models` lists what the swarm offers.',
  INCOMPLETE_MODEL:
    '`flambeau models` shows who serves which layers; `flambeau up` on another machine can add some, `flambeau resume` on a paused one.',
  STAGE_LOST: 'Ask again: other nodes with these layers are tried then, if there are any (`flambeau models`).',
  NO_ROUTE: 'Try again in a moment, or add a node with `flambeau up`.',
  PORT_TAKEN: 'Stop that one, or choose another port with `flambeau up --port PORT`; 0 takes any that is free.',
  LIBRARIES_MISSING: '`flambeau doctor` shows what was looked for.',
  BACKEND_UNAVAILABLE: '`flambeau doctor` shows what works here; `--backend cpu` always does.',
  ALREADY_MEMBER: '`flambeau swarm leave` leaves it; a second FLAMBEAU_HOME can be a second node.',
  ENGINE_LOST: 'The engine starts again by itself; the daemon log says why it ended.'
}

export interface FailureOptions {
  json: boolean
  debug: boolean
}

/** Tells an error to a person or a program; returns the exit code. */
export function reportFailure(caught: unknown, output: Output, { json, debug }: FailureOptions): ExitCode {
  if (caught instanceof CommanderError) return reportUsage(caught, output, json)
  const error = asError(caught)
  const view = errorView(caught)
  const exit = isCoded(error) || view.code === 'ABORTED' ? exitCodeOf(view.code) : EXIT.ERROR
  const hint = Object.hasOwn(HINTS, view.code) ? HINTS[view.code] : undefined
  if (json) output.json({ error: { ...view, ...(hint !== undefined && { hint }) } })
  else if (exit !== EXIT.INTERRUPTED) output.notes(failureLines(view, hint, output))
  if (debug) output.notes([error.stack ?? error.message])
  return exit
}

function failureLines({ message }: { message: string }, hint: string | undefined, { paintNote }: Output): string[] {
  const text = message.split('\n').map(printable).join('\n')
  const lines = [`${paintNote('red', 'flambeau:')} ${text}`]
  return hint === undefined ? lines : [...lines, hint]
}

/** The parser throws also when it has shown the help or the version that was asked for. */
function reportUsage(error: CommanderError, output: Output, json: boolean): ExitCode {
  if (error.exitCode === 0) return EXIT.OK
  const message = error.message.replace(/^error: /, '').replaceAll('\n', ' ')
  if (error.code === 'commander.help') return EXIT.USAGE
  if (json) output.json({ error: { code: 'USAGE', message, details: {} } })
  else output.notes([`${output.paintNote('red', 'flambeau:')} ${message}`, 'Add --help to see how it is used.'])
  return EXIT.USAGE
}
