import { prepareHome } from '../../node/home.js'
import { SwarmError } from '../../node/swarm/errors.js'
import { reachOf, type Reach } from '../../node/swarm/addresses.js'
import {
  createMembership,
  leaveSwarm,
  membershipFromInvitation,
  saveMembership,
  type Membership
} from '../../node/swarm/membership.js'
import { nameArgument } from '../arguments.js'
import { JSON_OPTION, type Context, type DefineCommand, type JsonOption } from '../context.js'
import { joinSwarm, refuseWhileRunning, requireMembership } from '../membership.js'
import { requireDaemon } from '../node.js'
import { printable } from '../render/format.js'
import { pairs } from '../render/table.js'

export const define: DefineCommand = (command, context) => {
  command
    .command('create')
    .summary('begin a swarm')
    .argument('<name>', 'for people', nameArgument)
    .option('--closed', 'only who has an invitation can connect')
    .option(...JSON_OPTION)
    .action((name: string, options: CreateOptions) => create(context, name, options))
  command
    .command('invite')
    .summary('print an invitation to pass on')
    .option(...JSON_OPTION)
    .action((options: JsonOption) => invite(context, options))
  defineJoin(command.command('join').summary('join a swarm by invitation'), context)
  command
    .command('leave')
    .summary('forget the swarm; the identity and the models stay')
    .option(...JSON_OPTION)
    .action((options: JsonOption) => leave(context, options))
  command
    .command('show')
    .summary("this node's swarm")
    .option(...JSON_OPTION)
    .action((options: JsonOption) => show(context, options))
}

interface CreateOptions extends JsonOption {
  closed?: boolean
}

export const defineJoin: DefineCommand = (command, context) => {
  command
    .argument('<invitation>', 'the pasted text, flambeau:…')
    .option(...JSON_OPTION)
    .action(async (invitation: string, { json }: JsonOption) => {
      const membership = await joinSwarm(context, invitation)
      context.output.result(json, view(membership), () => [
        `This node is now a member of ${describe(membership)}.`,
        'Give it some layers with `flambeau up`, or ask with `flambeau run MODEL "…"`.'
      ])
    })
}

async function create(context: Context, name: string, { closed = false, json }: CreateOptions): Promise<void> {
  await refuseWhileRunning(context)
  const membership = createMembership(name, { closed })
  await saveMembership(prepareHome(context.home).swarmFile, membership)
  context.output.result(json, view(membership), () => [
    `${describe(membership)} is begun.`,
    'Start its first node with `flambeau up`; then `flambeau swarm invite` prints what others need.'
  ])
}

/** What there is to say of invitations that do not work everywhere. */
const NARROW: Partial<Record<Reach, string[]>> = {
  'local network': ['It works in the local network only: `flambeau doctor` says how others can get in.'],
  'this machine': ['It works on this machine only, which has no other address now.']
}

async function invite(context: Context, { json }: JsonOption): Promise<void> {
  await requireMembership(context)
  const invite = await (await requireDaemon(context)).invite()
  context.output.result(json, invite, () => [invite.invitation])
  if (json) return
  const reach = reachOf(membershipFromInvitation(invite.invitation).bootstrap)
  context.output.notes([
    'Others join with `flambeau join INVITATION`.',
    ...(invite.closed ? ['It holds the key of this closed swarm: whoever has it is a member.'] : []),
    ...(NARROW[reach] ?? [])
  ])
}

async function leave(context: Context, { json }: JsonOption): Promise<void> {
  await refuseWhileRunning(context)
  const membership = await requireMembership(context).catch(unlessDamaged)
  await leaveSwarm(context.home.swarmFile)
  const left = membership === undefined ? {} : { left: membership.id, name: membership.name }
  const which = membership === undefined ? 'a swarm that nobody can read the name of any more' : describe(membership)
  context.output.result(json, left, () => [`This node has left ${which}.`])
}

/** A damaged file can be left too. */
function unlessDamaged(error: unknown): undefined {
  if (error instanceof SwarmError && error.code === 'MEMBERSHIP_DAMAGED') return
  throw error
}

async function show(context: Context, { json }: JsonOption): Promise<void> {
  const membership = await requireMembership(context)
  const { id, bootstrap } = membership
  context.output.result(json, view(membership), () =>
    pairs([
      ['swarm', describe(membership)],
      ['id', id],
      ...(bootstrap.length === 0 ? [''] : bootstrap).map(
        (address, index) => [index === 0 ? 'first nodes' : '', address || '-'] as const
      )
    ])
  )
}

/** Never the key. */
function view({ name, id, key, bootstrap }: Membership) {
  return { name, id, closed: key !== undefined, bootstrap }
}

function describe({ name, key }: Membership): string {
  return `the ${key === undefined ? 'open' : 'closed'} swarm ${printable(name)}`
}
