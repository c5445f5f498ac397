/** When this node serves, and why not. Pure. */
import type { AvailabilityState, AvailabilityView, Pause } from './types.js'

/** Whether the hours of the schedule are open, and when that changes: milliseconds since 1970; undefined: never. */
export interface Hours {
  open: boolean
  until: number | undefined
}

export interface Situation {
  readonly state: AvailabilityState
  /** The owner's own pause. `until`: milliseconds since 1970; undefined: until they resume. */
  readonly owner: { until: number | undefined } | undefined
  readonly hours: Hours
  /** Others use the machine heavily. */
  readonly busy: boolean
  /** What the owner set aside with `resume`, each until it ends by itself. */
  readonly overruled: readonly ('schedule' | 'busy')[]
}

export type SituationEvent =
  | { type: 'pause'; until: number | undefined }
  | { type: 'resume' }
  /** What the clock and the machine say; `now` in milliseconds since 1970. */
  | { type: 'observed'; now: number; hours: Hours; busy: boolean }
  /** No sessions are left, and the memory is given back. */
  | { type: 'drained' }
  | { type: 'leave' }

export const SERVING: Situation = {
  state: 'online',
  owner: undefined,
  hours: { open: true, until: undefined },
  busy: false,
  overruled: []
}

export function after(situation: Situation, event: SituationEvent): Situation {
  if (event.type === 'leave') return { ...situation, state: 'leaving' }
  const changed = withEvent(situation, event)
  return { ...changed, state: nextState(changed, event.type === 'drained') }
}

export function viewOf(situation: Situation): AvailabilityView {
  const { owner, state } = situation
  const own: Pause[] = owner === undefined ? [] : [{ reason: 'owner', until: owner.until }]
  const others = byThemselves(situation)
  const isOverruled = ({ reason }: Pause): boolean => situation.overruled.some(other => other === reason)
  return {
    state,
    pauses: [...own, ...others.filter(pause => !isOverruled(pause))],
    overruled: others.filter(isOverruled)
  }
}

/** Reasons that the owner did not give, overruled or not. */
function byThemselves({ hours, busy }: Situation): Pause[] {
  return [
    ...(hours.open ? [] : [{ reason: 'schedule' as const, until: hours.until }]),
    ...(busy ? [{ reason: 'busy' as const, until: undefined }] : [])
  ]
}

function withEvent(situation: Situation, event: Exclude<SituationEvent, { type: 'leave' }>): Situation {
  switch (event.type) {
    case 'pause':
      return { ...situation, owner: { until: event.until }, overruled: [] }
    case 'resume':
      return resumed(situation)
    case 'observed':
      return observed(situation, event)
    case 'drained':
      return situation
  }
}

/** Lifts the owner's own pause; without one it sets aside whatever else holds, until that changes by itself. */
function resumed(situation: Situation): Situation {
  if (situation.owner !== undefined) return { ...situation, owner: undefined }
  const { hours, busy } = situation
  return { ...situation, overruled: [...(hours.open ? [] : ['schedule' as const]), ...(busy ? ['busy' as const] : [])] }
}

function observed(
  { owner, overruled, state }: Situation,
  { now, hours, busy }: Extract<SituationEvent, { type: 'observed' }>
): Situation {
  const isOver = owner?.until !== undefined && owner.until <= now
  const lasts = { schedule: !hours.open, busy }
  return { state, hours, busy, owner: isOver ? undefined : owner, overruled: overruled.filter(reason => lasts[reason]) }
}

function nextState(situation: Situation, drained: boolean): AvailabilityState {
  const { state } = situation
  if (state === 'leaving') return state
  if (viewOf(situation).pauses.length === 0) return 'online'
  if (state === 'online') return 'draining'
  return drained ? 'paused' : state
}
