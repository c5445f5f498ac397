import { DRAIN_MS, MAX_DRAIN_MS } from '../../node/availability/constants.js'
import { durationUpTo } from '../arguments.js'
import { JSON_OPTION, type DefineCommand, type JsonOption } from '../context.js'
import { leave } from '../leave.js'

export const define: DefineCommand = (command, context) => {
  command
    .option('--within <time>', 'end what is left then (default: 10m)', durationUpTo(MAX_DRAIN_MS / 1_000))
    .option(...JSON_OPTION)
    .addHelpText('after', '\nThe node takes no new sessions; those it has move to other nodes or end. Then it stops.')
    .action(async ({ within = DRAIN_MS / 1_000, json }: { within?: number } & JsonOption) =>
      leave(context, { drainSeconds: within, json })
    )
}
