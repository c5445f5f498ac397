/** For whoever watches over a node: whether its process answers, whether it takes part, and what it counts. */
import type { FastifyInstance } from 'fastify'
import type { PauseReason } from '../availability/types.js'
import type { StatusView } from '../control/contract.js'
import type { NodeMetrics } from '../metrics/metrics.js'

export interface HealthParts {
  metrics: NodeMetrics
  status: () => Promise<StatusView>
}

/** Nobody may keep what is true only now. */
const FRESH = { 'cache-control': 'no-store' }

const PAUSED_BY: Readonly<Record<PauseReason, string>> = {
  owner: 'by its owner',
  schedule: 'outside of its hours',
  busy: 'because others use the machine'
}

/** Whether a node takes part, and if not, why. */
export interface Readiness {
  status: StatusView['state'] | 'ready'
  reason?: string
}

export function readinessOf({ state, availability }: Pick<StatusView, 'state' | 'availability'>): Readiness {
  const why = availability.pauses.map(({ reason }) => PAUSED_BY[reason]).join(' and ')
  switch (state) {
    case 'online':
      return { status: 'ready' }
    case 'joining':
      return { status: state, reason: 'The node is starting and joining its swarm.' }
    case 'draining':
      return { status: state, reason: `The node is about to pause ${why}: its sessions move or end.` }
    case 'paused':
      return { status: state, reason: `The node is paused ${why}.` }
    case 'leaving':
      return { status: state, reason: 'The node is about to stop: its sessions move or end.' }
  }
}

/** `GET /healthz`, `/readyz` and `/metrics`; counts every request of `app`, if it comes before what may refuse some. */
export function addHealth(app: FastifyInstance, { metrics, status }: HealthParts): void {
  app.addHook('onRequest', async ({ routeOptions }, { raw }) => {
    const began = performance.now()
    // Comes also where the client goes away, unlike Fastify's own hook.
    raw.once('close', () => {
      const status = raw.headersSent ? raw.statusCode : undefined
      metrics.request({ route: routeOptions.url, status, ms: performance.now() - began })
    })
  })
  app.get('/healthz', async (_request, reply) => {
    await reply.headers(FRESH).send({ status: 'ok' })
  })
  app.get('/readyz', async (_request, reply) => {
    const readiness = readinessOf(await status())
    await reply
      .headers(FRESH)
      .code(readiness.status === 'ready' ? 200 : 503)
      .send(readiness)
  })
  app.get('/metrics', async (_request, reply) => {
    const text = await metrics.text(await status())
    await reply.headers({ ...FRESH, 'content-type': metrics.contentType }).send(text)
  })
}
