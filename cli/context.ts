import type { Command } from 'commander'
import type { Home } from '../node/home.js'
import type { Output } from './output.js'

/** What a command gets from its surroundings. */
export interface Context {
  env: Readonly<Record<string, string | undefined>>
  stdin: NodeJS.ReadStream
  output: Output
  /** Paths only; commands that write call `prepareHome`. */
  home: Home
}

/** Every command can answer a program. */
export interface JsonOption {
  json?: boolean
}

/** What each file in `commands/` exports: options, arguments and the action of one command. */
export type DefineCommand = (command: Command, context: Context) => void

export const JSON_OPTION = ['--json', 'print JSON instead of text'] as const
