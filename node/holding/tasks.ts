import type { TaskView } from '../control/contract.js'
import type { Logger } from '../logger.js'
import { rangeText } from '../pipeline/catalogue.js'

/** Lines in the log on the way to a whole shard. */
const PROGRESS_LINES = 10

/** What this node is busy with, for `flambeau status`. Dispatches `change`. */
export class Tasks extends EventTarget {
  readonly #logger: Pick<Logger, 'info'>
  readonly #running = new Set<TaskView>()

  constructor({ logger }: { logger: Pick<Logger, 'info'> }) {
    super()
    this.#logger = logger
  }

  list(): readonly TaskView[] {
    return [...this.#running]
  }

  async run<T>(task: TaskView, work: (task: TaskView) => Promise<T>): Promise<T> {
    this.#running.add(task)
    this.#changed()
    try {
      return await work(task)
    } finally {
      this.#running.delete(task)
      this.#changed()
    }
  }

  /** A line in the log every tenth of the way. */
  progress(task: TaskView, progress: number): void {
    const tenth = Math.floor(progress * PROGRESS_LINES)
    if (tenth > Math.floor(task.progress * PROGRESS_LINES) && progress < 1) {
      const layers = task.layers === undefined ? undefined : rangeText(task.layers)
      this.#logger.info({ model: task.model, layers, percent: Math.floor(progress * 100) }, task.what)
    }
    task.progress = progress
  }

  #changed(): void {
    this.dispatchEvent(new Event('change'))
  }
}
