import { setTimeout as sleep } from 'node:timers/promises'
import { connectToDaemon } from '../../node/control/client.js'
import { deadline } from '../../node/deadline.js'
import { JSON_OPTION, type DefineCommand, type JsonOption } from '../context.js'
import { interruptible } from '../interrupt.js'
import { requireDaemon } from '../node.js'

/** Milliseconds for a daemon to end: somewhat more than its parts may take. */
const END_MS = 30_000
const LOOK_MS = 50

export const define: DefineCommand = (command, context) => {
  command.option(...JSON_OPTION).action(async ({ json }: JsonOption) => {
    using interrupt = interruptible()
    const daemon = await requireDaemon(context)
    const { pid } = await daemon.status()
    await daemon.stop()
    using limit = deadline(`the end of process ${pid}`, END_MS, interrupt.signal)
    while ((await connectToDaemon(context.home)) !== undefined) {
      limit.signal.throwIfAborted()
      await sleep(LOOK_MS)
    }
    context.output.result(json, { stopped: pid }, () => [`Process ${pid} has stopped.`])
  })
}
