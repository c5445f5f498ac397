import { Option, type Command } from 'commander'
import { z } from 'zod'
import { SETTING_KEYS, SETTINGS } from '../../node/config-schema.js'

export interface OptionNode {
  /** With its dashes. */
  name: string
  about: string
  takesValue: boolean
  /** What the value may be; empty: anything. */
  choices: readonly string[]
}

/** A command and what may follow it. */
export interface CommandNode {
  /** All of its words: `flambeau swarm create`. */
  path: string
  about: string
  options: readonly OptionNode[]
  /** What its arguments may be. */
  choices: readonly string[]
  /** One of its arguments is a file's path. */
  takesFile: boolean
  commands: readonly CommandNode[]
}

/** Topics of `flambeau help` that are no commands. */
const TOPICS = ['exit-codes']

/** Of the whole program, defined to the last option. */
export function treeOf(program: Command): CommandNode {
  const root = nodeOf(program, program.name())
  const help: CommandNode = {
    path: `${root.path} help`,
    about: 'show help for a command',
    options: [],
    choices: [...program.commands.map(command => command.name()), ...TOPICS],
    takesFile: false,
    commands: []
  }
  return { ...root, commands: [...root.commands, help] }
}

/** The node and all below it. */
export function withInner(node: CommandNode): CommandNode[] {
  return [node, ...node.commands.flatMap(withInner)]
}

/** The last word of the path. */
export function nameOf({ path }: CommandNode): string {
  return path.split(' ').at(-1) ?? ''
}

export interface OptionValues {
  /** Options whose value is one of a few, each after the words of its command. */
  chosen: readonly { place: string; choices: readonly string[] }[]
  /** Those whose value may be anything. */
  free: readonly string[]
}

/** The options that take a value. */
export function valuesOf(nodes: readonly CommandNode[]): OptionValues {
  const valued = nodes.flatMap(({ path, options }) =>
    options.filter(({ takesValue }) => takesValue).map(({ name, choices }) => ({ place: `${path} ${name}`, choices }))
  )
  return {
    chosen: valued.filter(({ choices }) => choices.length > 0),
    free: valued.filter(({ choices }) => choices.length === 0).map(({ place }) => place)
  }
}

function nodeOf(command: Command, path: string): CommandNode {
  return {
    path,
    about: command.summary() || command.description(),
    options: [...command.options, new Option('--help', 'show help')].flatMap(option => optionsOf(option)),
    choices: command.registeredArguments.flatMap(({ argChoices }) => argChoices ?? []),
    takesFile: command.registeredArguments.some(argument => argument.name() === 'file'),
    commands: command.commands.map(inner => nodeOf(inner, `${path} ${inner.name()}`))
  }
}

/** Only the long form: short ones are not worth completing. */
function optionsOf({ long, description, required, optional, argChoices }: Option): OptionNode[] {
  if (long == null) return []
  const choices = argChoices ?? SETTING_CHOICES.get(long) ?? []
  return [{ name: long, about: description, takesValue: required || optional, choices }]
}

/** Settings check their values themselves, so that the parser does not know what they may be. */
const SETTING_CHOICES: ReadonlyMap<string, readonly string[]> = new Map(
  SETTING_KEYS.flatMap(key => {
    const { option, schema } = SETTINGS[key] as { option: string; schema: z.ZodType }
    const long = new Option(`--${option}`).long
    return schema instanceof z.ZodEnum && long ? [[long, schema.options.map(String)] as const] : []
  })
)
