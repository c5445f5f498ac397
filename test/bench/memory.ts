import { isEngine, processes } from '../support/processes.js'
import { slope } from './statistics.js'

const MIB = 2 ** 20
const MS_PER_HOUR = 3_600_000

interface Life {
  what: string
  pid: number
  /** Milliseconds, monotonic, and bytes. */
  points: { x: number; y: number }[]
}

export interface MemoryLine {
  what: string
  pid: number
  firstMiB: number
  lastMiB: number
  slopeMiBPerHour: number
}

/** Resident memory of daemons and their engines over time. */
export class MemoryWatch {
  readonly #lives = new Map<string, Life>()
  #largest = 0

  /** Bytes, of any process at any time. */
  get largest(): number {
    return this.#largest
  }

  async sample(daemons: readonly { what: string; pid: number }[]): Promise<void> {
    const lines = await processes()
    const now = performance.now()
    for (const { what, pid } of daemons) {
      for (const line of lines) {
        if (line.pid === pid) this.#note(`${what} daemon`, line.pid, { x: now, y: line.resident })
        if (line.parent === pid && isEngine(line)) this.#note(`${what} engine`, line.pid, { x: now, y: line.resident })
      }
    }
  }

  /** Of the processes that were there at `from` and at `until`, with what lies between. */
  through(from: number, until: number, slack: number): MemoryLine[] {
    return [...this.#lives.values()].flatMap(({ what, pid, points }) => {
      const inside = points.filter(({ x }) => x >= from && x <= until)
      const [first, last] = [inside[0], inside.at(-1)]
      if (first === undefined || last === undefined || first.x > from + slack || last.x < until - slack) return []
      const slopeMiBPerHour = (slope(inside) * MS_PER_HOUR) / MIB
      return [{ what, pid, firstMiB: first.y / MIB, lastMiB: last.y / MIB, slopeMiBPerHour }]
    })
  }

  #note(what: string, pid: number, point: { x: number; y: number }): void {
    const key = `${what} ${pid}`
    const life = this.#lives.get(key) ?? { what, pid, points: [] }
    this.#lives.set(key, life)
    life.points.push(point)
    this.#largest = Math.max(this.#largest, point.y)
  }
}
