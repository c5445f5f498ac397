import { MAX_PAUSE_MS, PAUSE_DRAIN_MS } from '../../node/availability/constants.js'
import type { AvailabilityView } from '../../node/availability/types.js'
import type { ControlService } from '../../node/control/service.js'
import { deadline, delay } from '../../node/deadline.js'
import { durationUpTo } from '../arguments.js'
import { JSON_OPTION, type Context, type DefineCommand, type JsonOption } from '../context.js'
import { interruptible } from '../interrupt.js'
import { requireDaemon } from '../node.js'
import { pauseLines } from '../render/availability.js'
import { count, duration } from '../render/format.js'
import { createProgress } from '../render/progress.js'

/** Milliseconds for an engine to stop once no sessions are left. */
const STOP_MS = 30_000
const LOOK_MS = 100

type PauseOptions = JsonOption & { for?: number }

export const define: DefineCommand = (command, context) => {
  command
    .option('--for <time>', 'serve again after this, such as 90m or 2h', durationUpTo(MAX_PAUSE_MS / 1_000))
    .option(...JSON_OPTION)
    .addHelpText(
      'after',
      '\nThe node stays a member of the swarm and answers your own prompts with the layers of others.'
    )
    .action((options: PauseOptions) => pause(context, options))
}

async function pause(context: Context, { for: seconds, json }: PauseOptions): Promise<void> {
  const daemon = await requireDaemon(context)
  await daemon.pause(seconds === undefined ? {} : { seconds })
  const view = await drained(context, daemon)
  context.output.result(json, view, () => pauseLines(view, new Date()))
}

/** Once its memory is given back. Ctrl+C ends the waiting, not the pause. */
async function drained({ output }: Context, daemon: ControlService): Promise<AvailabilityView> {
  using interrupt = interruptible()
  using limit = deadline('pausing', PAUSE_DRAIN_MS + STOP_MS, interrupt.signal)
  const progress = await createProgress(output.stderr)
  let most = 0
  for (;;) {
    const { availability, sessions } = await daemon.status()
    if (availability.state !== 'draining') {
      progress.end()
      return availability
    }
    most = Math.max(most, sessions.served)
    const label = `${count(sessions.served, 'session')} left to move or to end, at most ${duration(PAUSE_DRAIN_MS / 1_000)}`
    if (most > 0) progress.update(label, most - sessions.served, most)
    await delay(LOOK_MS, limit.signal)
  }
}
