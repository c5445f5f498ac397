import { JSON_OPTION, type DefineCommand, type JsonOption } from '../context.js'
import { requireDaemon } from '../node.js'
import { printable } from '../render/format.js'

export const define: DefineCommand = (command, context) => {
  command
    .argument('<model>', 'name, or 6 or more digits of the manifest hash')
    .option(...JSON_OPTION)
    .action(async (wanted: string, { json }: JsonOption) => {
      const daemon = await requireDaemon(context)
      const { name, manifest } = await daemon.remove(wanted)
      context.output.result(json, { removed: manifest, name }, () => [`This node no longer holds ${printable(name)}.`])
    })
}
