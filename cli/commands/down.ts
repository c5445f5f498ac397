import { JSON_OPTION, type DefineCommand, type JsonOption } from '../context.js'
import { requireDaemon } from '../node.js'

export const define: DefineCommand = (command, context) => {
  command.option(...JSON_OPTION).action(async ({ json }: JsonOption) => {
    const daemon = await requireDaemon(context)
    const { pid } = await daemon.status()
    await daemon.stop()
    context.output.result(json, { stopping: pid }, () => [`Process ${pid} is stopping.`])
  })
}
