import { JSON_OPTION, type DefineCommand, type JsonOption } from '../context.js'
import { requireDaemon } from '../node.js'
import { statusLines } from '../render/views.js'

export const define: DefineCommand = (command, context) => {
  command.option(...JSON_OPTION).action(async ({ json }: JsonOption) => {
    const status = await (await requireDaemon(context)).status()
    context.output.result(json, status, paint => statusLines(status, paint))
  })
}
