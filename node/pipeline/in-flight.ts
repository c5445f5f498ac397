import { STEPS_IN_FLIGHT } from './prompt.js'
import type { RingSession } from './ring-session.js'
import type { StepAnswer, StepRequest } from './session-types.js'

/** Sends steps, a few of them ahead of the answers, which come in order. A step is made when it is to be sent. */
export async function* inFlight(
  session: Pick<RingSession, 'step'>,
  requests: Iterable<StepRequest>
): AsyncGenerator<StepAnswer, void> {
  const underWay: Promise<StepAnswer>[] = []
  for (const request of requests) {
    const oldest = underWay.length < STEPS_IN_FLIGHT ? undefined : underWay.shift()
    if (oldest !== undefined) yield await oldest
    const step = session.step(request)
    step.catch(() => undefined) // awaited in its turn
    underWay.push(step)
  }
  for (const step of underWay) yield await step
}
