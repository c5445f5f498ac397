/** What the page says to expect of a model, and how far off such estimates were of late. */
import type { FastifyInstance, FastifyReply, RouteShorthandOptions } from 'fastify'
import { CodedError } from '../../../protocol/errors.js'
import type { AccuracyView } from '../../control/plan.js'
import { modelPlanRequest } from '../../control/schemas.js'
import type { ControlService } from '../../control/service.js'
import { checked } from '../check.js'

export interface PlanParts {
  service: Pick<ControlService, 'plan'>
  accuracy: () => Promise<AccuracyView>
}

/** @param owner options that keep others out */
export function addPlan(app: FastifyInstance, { service, accuracy }: PlanParts, owner: RouteShorthandOptions): void {
  app.post('/page/plan', owner, async ({ body }, reply) =>
    service.plan(checked(modelPlanRequest, body), { signal: goneSignal(reply) })
  )
  app.get('/page/estimates', owner, async () => accuracy())
}

/** Aborts when the client goes away: the swarm is asked no more then. */
function goneSignal(reply: FastifyReply): AbortSignal {
  const gone = new AbortController()
  reply.raw.once('close', () => gone.abort(new CodedError('ABORTED', 'The client went away.')))
  return gone.signal
}
