import { JSON_OPTION, type DefineCommand, type JsonOption } from '../context.js'
import { interruptible } from '../interrupt.js'
import { useNode } from '../node.js'
import { modelLines } from '../render/views.js'

export const define: DefineCommand = (command, context) => {
  command.option(...JSON_OPTION).action(async ({ json }: JsonOption) => {
    using interrupt = interruptible()
    await using node = await useNode(context, interrupt)
    const models = await node.service.models(interrupt)
    context.output.result(json, models, paint => modelLines(models, paint))
  })
}
