import { connectToDaemon } from '../node/control/client.js'
import { ControlError } from '../node/control/errors.js'
import type { ControlService } from '../node/control/service.js'
import type { Context } from './context.js'

/** The running daemon; throws `NOT_RUNNING`. */
export async function requireDaemon({ home }: Context): Promise<ControlService> {
  const daemon = await connectToDaemon(home)
  if (daemon !== undefined) return daemon
  throw new ControlError('NOT_RUNNING', `No node runs on ${home.path}. Start one with \`flambeau up\`.`)
}

export interface NodeForCommand extends AsyncDisposable {
  service: ControlService
  /** False where the node was started for this command alone. */
  daemon: boolean
}

/** The running daemon, or without one a node that joins the swarm for the length of the command. */
export async function useNode(context: Context, { signal }: { signal: AbortSignal }): Promise<NodeForCommand> {
  const service = await connectToDaemon(context.home)
  if (service !== undefined) return { service, daemon: true, [Symbol.asyncDispose]: () => Promise.resolve() }
  const { openForCommand } = await import('./one-shot.js')
  const node = await openForCommand(context, { signal })
  return { service: node.service, daemon: false, [Symbol.asyncDispose]: () => node.stop() }
}
