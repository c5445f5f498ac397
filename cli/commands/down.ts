import { LEAVE_DRAIN_MS } from '../../node/availability/constants.js'
import { JSON_OPTION, type DefineCommand, type JsonOption } from '../context.js'
import { leave } from '../leave.js'

export const define: DefineCommand = (command, context) => {
  command
    .option('--now', 'do not wait for sessions')
    .option(...JSON_OPTION)
    .action(async ({ now, json }: { now?: boolean } & JsonOption) =>
      leave(context, { drainSeconds: now ? 0 : LEAVE_DRAIN_MS / 1_000, json })
    )
}
