import { JSON_OPTION, type DefineCommand, type JsonOption } from '../context.js'
import { requireDaemon } from '../node.js'
import { resumeLines } from '../render/availability.js'

export const define: DefineCommand = (command, context) => {
  command
    .option(...JSON_OPTION)
    .addHelpText(
      'after',
      "\nEnds the owner's pause; without one, overrules the schedule or a busy machine until they change."
    )
    .action(async ({ json }: JsonOption) => {
      const daemon = await requireDaemon(context)
      const view = await daemon.resume()
      context.output.result(json, view, () => resumeLines(view, new Date()))
    })
}
