import { Command, type Argument, type Option } from 'commander'
import type { Context } from '../../../cli/context.js'
import { Output } from '../../../cli/output.js'
import { COMMANDS } from '../../../cli/program.js'
import { locateHome } from '../../../node/home.js'

/** The whole command line as it is defined, nothing of it run. */
export async function commandTree(): Promise<Command> {
  const context: Context = {
    env: {},
    stdin: process.stdin,
    output: new Output(process, {}),
    home: locateHome({ FLAMBEAU_HOME: 'unused' })
  }
  const program = new Command('flambeau').version('0.0.0', '-V, --version')
  for (const { name, load } of COMMANDS) (await load()).define(program.command(name), context)
  return program
}

/** Words as a shell makes them; good enough for documentation. */
export function shellWords(line: string): string[] {
  return [...line.matchAll(/"([^"]*)"|'([^']*)'|(\S+)/g)].map(
    ([, double, single, bare]) => double ?? single ?? bare ?? ''
  )
}

export interface CheckOptions {
  /** Also that no argument is missing: for lines to be copied rather than mentions of a command. */
  complete: boolean
}

/** What is wrong with the words after `flambeau`; undefined when the program takes them. */
export function mistakeIn(program: Command, words: readonly string[], options: CheckOptions): string | undefined {
  const [first, second] = words
  if (first === 'help') return isHelpTopic(program, second) ? undefined : `there is no help on ${second ?? ''}`
  let command = program
  let rest = words
  for (;;) {
    const inner = command.commands.find(candidate => candidate.name() === rest[0])
    if (inner === undefined) break
    command = inner
    rest = rest.slice(1)
  }
  if (command.commands.length > 0 && rest[0]?.startsWith('-') === false) return `there is no command ${rest[0]}`
  return mistakeInArguments(command, rest, options)
}

function isHelpTopic(program: Command, topic: string | undefined): boolean {
  return topic === 'exit-codes' || program.commands.some(command => command.name() === topic)
}

function mistakeInArguments(
  command: Command,
  words: readonly string[],
  { complete }: CheckOptions
): string | undefined {
  let positional = 0
  for (let at = 0; at < words.length; at++) {
    const word = words[at] ?? ''
    if (!/^--?[a-z]/i.test(word)) {
      positional++
      continue
    }
    if (word === '--help') continue
    const option = command.options.find(({ long, short }) => word === long || word === short)
    if (option === undefined) return `${command.name()} has no option ${word}`
    const mistake = option.required ? mistakeInValue(option, words[++at]) : undefined
    if (mistake !== undefined) return mistake
  }
  const takes = command.registeredArguments
  if (positional > takes.length && !takes.some(({ variadic }) => variadic))
    return `${command.name()} takes ${takes.length} arguments`
  return complete && positional < neededOf(takes) ? `${command.name()} needs ${neededOf(takes)} arguments` : undefined
}

function neededOf(takes: readonly Argument[]): number {
  return takes.filter(({ required }) => required).length
}

function mistakeInValue({ long, parseArg, argChoices }: Option, value: string | undefined): string | undefined {
  if (value === undefined) return `${long ?? ''} needs a value`
  // A placeholder such as PORT.
  if (/^[A-Z]+$/.test(value)) return undefined
  try {
    parseArg?.(value, undefined)
    return argChoices === undefined || argChoices.includes(value) ? undefined : `${long ?? ''} cannot be ${value}`
  } catch {
    return `${long ?? ''} cannot be ${value}`
  }
}

/** Every option of every command, with its dashes. */
export function allOptions(command: Command): string[] {
  const own = command.options.flatMap(({ long, short }) => [long, short].filter(name => name !== undefined))
  return [...own, ...command.commands.flatMap(allOptions)]
}
