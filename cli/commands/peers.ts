import { JSON_OPTION, type DefineCommand, type JsonOption } from '../context.js'
import { interruptible } from '../interrupt.js'
import { useNode } from '../node.js'
import { peerLines } from '../render/views.js'

export const define: DefineCommand = (command, context) => {
  command.option(...JSON_OPTION).action(async ({ json }: JsonOption) => {
    using interrupt = interruptible()
    await using node = await useNode(context, interrupt)
    const peers = await node.service.peers(interrupt)
    context.output.result(json, peers, paint => peerLines(peers, paint))
  })
}
