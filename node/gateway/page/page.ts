/** The node's web page, and what it alone asks: live views of the swarm and of this node, and the owner's switches. */
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { renderSVG } from 'uqr'
import { z } from 'zod'
import { DRAIN_MS } from '../../availability/constants.js'
import type { ModelView, PeerView } from '../../control/contract.js'
import { pauseRequest } from '../../control/schemas.js'
import type { ControlService, InviteView } from '../../control/service.js'
import type { Logger } from '../../logger.js'
import { checked } from '../check.js'
import type { PageInvitation, PageStatus } from './contract.js'
import { Feed, type Snapshots } from './feed.js'
import { addFiles } from './files.js'
import { requireOwner } from './owner.js'
import { addPlan, type PlanParts } from './plan.js'

export interface PageParts extends PlanParts {
  service: Pick<ControlService, 'status' | 'plan' | 'pause' | 'resume' | 'stop' | 'invite'>
  /** What is known without asking anybody: a page looks every second. */
  known: () => { peers: PeerView[]; models: ModelView[] }
  /** Of the owner: 43 characters of base64url, told over the control socket alone. */
  secret: string
  /** Positions that this node's layers have computed since its start. */
  positions: () => number
}

const nothing = z.strictObject({})

/** The files, and `/page/…` for the owner. */
export function addPage(app: FastifyInstance, parts: PageParts, logger: Pick<Logger, 'warn'>): void {
  const { service } = parts
  const feed = new Feed({ read: async () => snapshots(parts), logger })
  app.addHook('preClose', done => {
    feed.stop()
    done()
  })
  addFiles(app)
  const owner = {
    onRequest: (request: FastifyRequest) => Promise.resolve(request).then(() => requireOwner(request, parts))
  }
  addPlan(app, parts, owner)
  app.get('/page/events', owner, async (_request, reply) => feed.listen(reply))
  app.get('/page/invitation', owner, async (_request, reply) => {
    reply.header('cache-control', 'no-store')
    return withCode(await service.invite())
  })
  app.post('/page/pause', owner, async ({ body }) => service.pause(checked(pauseRequest, body)))
  app.post('/page/resume', owner, async ({ body }) => {
    checked(nothing, body)
    return service.resume()
  })
  app.post('/page/drain', owner, async ({ body }, reply) => {
    checked(nothing, body)
    await service.stop({ drainSeconds: DRAIN_MS / 1_000 })
    return reply.code(202).send({})
  })
}

async function snapshots({ service, known, positions }: PageParts): Promise<Snapshots> {
  const { version, name, peer, swarm, addresses, gateway, state, availability, ...status } = await service.status()
  const { peers, engine, shards, tasks, sessions, refused, banned, memoryBytes, usedBytes } = status
  const told: PageStatus = {
    ...{ version, name, peer, swarm, addresses, gateway, state, availability, peers, engine, shards, tasks, sessions },
    ...{ refused, banned, memoryBytes, usedBytes, positions: positions() }
  }
  return { status: told, ...known() }
}

function withCode(view: InviteView): PageInvitation {
  return { ...view, qr: codeOf(view.invitation) }
}

function codeOf(text: string): string | undefined {
  try {
    return renderSVG(text, { ecc: 'L', border: 4 })
  } catch {
    return undefined // the library's only error: more than a code holds, 2953 bytes
  }
}
