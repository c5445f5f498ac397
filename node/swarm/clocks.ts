import { SwarmError } from './errors.js'

/** Peers that are remembered, and warned of once: identities cost nothing, and the log is for its owner. */
const MAX_PEERS = 64

/** A refusal of a record for its times; `details` has `sequence` and `now`, both milliseconds since 1970. */
const REFUSALS: ReadonlySet<string> = new Set(['RECORD_EXPIRED', 'RECORD_INVALID'])

/** Members that answer, but whose fresh records do not count because their clock or this node's is wrong. */
export class Clocks {
  readonly #warn: (facts: object, message: string) => void
  readonly #ahead = new Map<string, number>()

  constructor({ warn }: { warn: (facts: object, message: string) => void }) {
    this.#warn = warn
  }

  /** Milliseconds by which the clock of one of them is ahead of this node's; undefined when there are none. */
  get ahead(): number | undefined {
    return this.#ahead.values().next().value
  }

  /** The member's own record was taken. */
  right(peer: string): void {
    this.#ahead.delete(peer)
  }

  /** The member's own record was refused: is it its clock? */
  refused(peer: string, error: unknown): void {
    const ahead = aheadIn(error)
    if (ahead === undefined) return
    const isNews = !this.#ahead.has(peer)
    if (isNews && this.#ahead.size >= MAX_PEERS) return
    this.#ahead.set(peer, ahead)
    if (isNews) this.#warn({ peer }, `the clock of ${peer} is ${describeAhead(ahead)}: its records do not count`)
  }
}

/** Such as "7 minutes ahead of this machine's". @param ahead - milliseconds */
export function describeAhead(ahead: number): string {
  const minutes = Math.round(Math.abs(ahead) / 60_000)
  return `${minutes} minutes ${ahead > 0 ? 'ahead of' : 'behind'} this machine's`
}

function aheadIn(error: unknown): number | undefined {
  if (!(error instanceof SwarmError) || !REFUSALS.has(error.code)) return undefined
  const { sequence, now } = error.details
  return typeof sequence === 'number' && typeof now === 'number' ? sequence - now : undefined
}
