import { connectToDaemon } from '../node/control/client.js'
import { ControlError } from '../node/control/errors.js'
import { prepareHome } from '../node/home.js'
import { loadMembership, membershipFromInvitation, saveMembership, type Membership } from '../node/swarm/membership.js'
import type { Context } from './context.js'
import { CliError } from './errors.js'

/** This home's membership; throws `NO_SWARM`. */
export async function requireMembership({ home }: Context): Promise<Membership> {
  const membership = await loadMembership(prepareHome(home).swarmFile)
  if (membership !== undefined) return membership
  throw new CliError(
    'NO_SWARM',
    'This node belongs to no swarm. Join one with `flambeau join INVITATION`, or begin one with `flambeau swarm create NAME`.'
  )
}

/** Another swarm needs another start: a running node keeps the one that it has. */
export async function refuseWhileRunning({ home }: Context): Promise<void> {
  if ((await connectToDaemon(home)) === undefined) return
  throw new ControlError('ALREADY_RUNNING', `A node runs on ${home.path}. Stop it with \`flambeau down\` first.`)
}

export async function joinSwarm(context: Context, invitation: string): Promise<Membership> {
  const membership = membershipFromInvitation(invitation)
  await refuseWhileRunning(context)
  await saveMembership(prepareHome(context.home).swarmFile, membership)
  return membership
}
