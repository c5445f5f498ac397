import type { AvailabilityView, Pause, PauseReason } from '../../node/availability/types.js'
import { moment } from './format.js'

const REASONS: Readonly<Record<PauseReason, string>> = {
  owner: 'by its owner',
  schedule: 'outside of its hours',
  busy: 'while others use this machine heavily'
}

/** `by its owner until 14:30; outside of its hours until 22:00`. */
export function reasonsText(pauses: readonly Pause[], now: Date): string {
  return pauses.map(pause => reasonText(pause, now)).join('; ')
}

function reasonText({ reason, until }: Pause, now: Date): string {
  const end = until === undefined ? '' : ` until ${moment(new Date(until), now)}`
  return `${REASONS[reason]}${end}`
}

/** What `flambeau pause` has come to. */
export function pauseLines({ state, pauses }: AvailabilityView, now: Date): string[] {
  if (state !== 'paused') return [`This node is ${state}.`]
  return [`This node is paused ${reasonsText(pauses, now)}; its memory is free. \`flambeau resume\` ends that.`]
}

/** What `flambeau resume` has come to. */
export function resumeLines({ state, pauses, overruled }: AvailabilityView, now: Date): string[] {
  if (state === 'leaving') return ['This node is stopping.']
  if (pauses.length > 0) {
    return [`Still paused ${reasonsText(pauses, now)}. \`flambeau resume\` once more overrules that until it changes.`]
  }
  const despite = overruled.length === 0 ? '' : ` although it would be paused ${reasonsText(overruled, now)}`
  return [`This node serves again${despite}. \`flambeau status\` shows when its layers are loaded.`]
}
