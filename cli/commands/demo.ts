import { collected } from '../arguments.js'
import { JSON_OPTION, type DefineCommand, type JsonOption } from '../context.js'
import { interruptible } from '../interrupt.js'

interface CommandOptions extends JsonOption {
  prompt?: string[]
}

export const define: DefineCommand = (command, context) => {
  command
    .option('--prompt <text>', 'ask this instead of the usual questions; may be repeated', collected)
    .option(...JSON_OPTION)
    .action(async ({ prompt, json = false }: CommandOptions) => {
      using interrupt = interruptible()
      const { runDemo } = await import('../demo/demo.js')
      await runDemo({ ...(prompt && { prompts: prompt }), json, signal: interrupt.signal, output: context.output })
    })
}
