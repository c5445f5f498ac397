import { connectToDaemon } from '../node/control/client.js'
import type { ControlService } from '../node/control/service.js'
import { deadline, delay } from '../node/deadline.js'
import type { Context } from './context.js'
import { interruptible } from './interrupt.js'
import { requireDaemon } from './node.js'
import { count, duration } from './render/format.js'
import { createProgress } from './render/progress.js'

/** Milliseconds for a daemon without sessions to end: somewhat more than its parts may take. */
const END_MS = 30_000
const LOOK_MS = 50

export interface LeaveOptions {
  /** What its sessions may take. */
  drainSeconds: number
  json: boolean | undefined
}

/** Stops the running node and waits until it is gone; shows how many sessions are left. */
export async function leave(context: Context, { drainSeconds, json }: LeaveOptions): Promise<void> {
  using interrupt = interruptible()
  const daemon = await requireDaemon(context)
  const { pid, sessions } = await daemon.status()
  const { served } = sessions
  const waits = served > 0 && drainSeconds > 0
  if (waits) {
    const most = `at most ${duration(drainSeconds)}`
    context.output.notes([
      `Waits for ${count(served, 'session')} to move or to end, ${most}. Not to wait: flambeau down --now.`
    ])
  }
  await daemon.stop({ drainSeconds })
  using limit = deadline(`the end of process ${pid}`, drainSeconds * 1_000 + END_MS, interrupt.signal)
  const progress = await createProgress(context.output.stderr)
  for (;;) {
    const running = await connectToDaemon(context.home)
    if (running === undefined) break
    const left = await sessionsOf(running)
    if (waits) progress.update(`${count(left, 'session')} left`, served - left, served)
    await delay(LOOK_MS, limit.signal)
  }
  progress.end()
  context.output.result(json, { stopped: pid }, () => [`Process ${pid} has stopped.`])
}

/** None where the node is gone before it answers. */
async function sessionsOf(daemon: ControlService): Promise<number> {
  return daemon.status().then(
    ({ sessions }) => sessions.served,
    () => 0
  )
}
