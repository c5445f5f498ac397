import { loadConfig } from '../node/config.js'
import { openNode, type RunningNode } from '../node/daemon.js'
import { createLogger } from '../node/logger.js'
import type { Context } from './context.js'
import { requireMembership } from './membership.js'

/** A node for one command. Quieter than a daemon: its log would stand between the lines of the answer. */
export async function openForCommand(context: Context, { signal }: { signal: AbortSignal }): Promise<RunningNode> {
  const membership = await requireMembership(context)
  const { home, env } = context
  const config = await loadConfig({ home, env })
  const level = config.log.level === 'info' ? 'warn' : config.log.level
  return openNode({ home, config, membership, logger: createLogger({ level }), signal })
}
