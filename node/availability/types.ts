/** What takes sessions and can be asked to let go of them. */
export interface Drainable {
  /**
   * No new sessions from now on, and live ones are asked to move; resolves with how many are still there when none is
   * left, `deadlineMs` passed or `signal` aborted. `why` is told to whoever asks for a session meanwhile.
   */
  drain(options: { deadlineMs: number; why?: string; signal?: AbortSignal }): Promise<{ left: number }>
  /** Ends the sessions that are left: their origins are told `LEAVING`. */
  evict(why: string): void
  /** Takes sessions again. */
  reopen(): void
}

/** What fills the machine's memory and can give it back. */
export interface Suspendable {
  /** Loads nothing from now on, and unloads what is loaded; files stay. */
  suspend(): Promise<void>
  /** Loads again, in the background, what was loaded before. */
  restore(): void
}

export type AvailabilityState = 'online' | 'draining' | 'paused' | 'leaving'

/** Why a node does not serve: its owner said so, the hours of the schedule, or others use the machine. */
export type PauseReason = 'owner' | 'schedule' | 'busy'

export interface Pause {
  reason: PauseReason
  /** Milliseconds since 1970 when it ends by itself; undefined where nobody can know. */
  until: number | undefined
}

/** What the owner is shown. */
export interface AvailabilityView {
  state: AvailabilityState
  /** All that hold now; the node serves when none is left. */
  pauses: Pause[]
  /** What would hold, had the owner not said `resume`. */
  overruled: Pause[]
}
