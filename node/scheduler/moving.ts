/** A stage that takes less than this share of the time of the one that is there is worth a look. */
const FASTER_BY = 0.5
/** Of a session's rest, as far as it may go: most answers end before they have to. */
const LIKELY_REST = 0.5
/** What a row costs when it is replayed together with many others, as a part of what it costs alone. */
const REPLAYED_ROW = 0.25

export interface MoveCase {
  /** Seconds that a token takes from the stage before to the stage after, as measured lately ... */
  current: number
  /** ... and as it would take with others in between. */
  other: number
  /** Positions that the others would have to be filled with. */
  rows: number
  /** Positions that the session may still go on for. */
  rest: number
}

/** Whether others in a stage's place save more time than it takes to fill them. */
export function paysToMove({ current, other, rows, rest }: MoveCase): boolean {
  if (other > FASTER_BY * current) return false
  return (current - other) * rest * LIKELY_REST > rows * other * REPLAYED_ROW
}
