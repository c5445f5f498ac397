import type { Traffic } from '../swarm/wire.js'

/** Of one protocol, by who opened the streams. */
export interface ByOpener {
  readonly here: Traffic
  readonly peer: Traffic
}

/** Bytes over the streams of sessions. */
export interface SessionTraffic {
  readonly stage: ByOpener
  readonly relay: ByOpener
}

export function noTraffic(): SessionTraffic {
  const zero = (): Traffic => ({ received: 0, sent: 0 })
  const byOpener = (): ByOpener => ({ here: zero(), peer: zero() })
  return { stage: byOpener(), relay: byOpener() }
}
