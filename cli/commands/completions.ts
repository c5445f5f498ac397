import { Argument } from 'commander'
import { bashScript } from '../completions/bash.js'
import { fishScript } from '../completions/fish.js'
import { treeOf } from '../completions/tree.js'
import { zshScript } from '../completions/zsh.js'
import { JSON_OPTION, type DefineCommand, type JsonOption } from '../context.js'

const SCRIPTS = { bash: bashScript, zsh: zshScript, fish: fishScript } as const

type Shell = keyof typeof SCRIPTS

const USE = `
To use it:
  eval "$(flambeau completions bash)"    in ~/.bashrc
  source <(flambeau completions zsh)     in ~/.zshrc, after compinit
  flambeau completions fish | source     in ~/.config/fish/config.fish`

export const define: DefineCommand = (command, context) => {
  command
    .addArgument(new Argument('<shell>', 'what to write a script for').choices(Object.keys(SCRIPTS)))
    .option(...JSON_OPTION)
    .addHelpText('after', USE)
    .action(async (shell: Shell, { json }: JsonOption) => {
      // Not at the top: the program is what loads this file.
      const { programOf } = await import('../program.js')
      const tree = treeOf(await programOf(context, () => true))
      const script = SCRIPTS[shell](tree)
      context.output.result(json, { shell, script }, () => [script.trimEnd()])
    })
}
