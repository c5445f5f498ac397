import { collectDefaultMetrics, type Registry } from 'prom-client'
import type { StatusView } from '../control/contract.js'
import type { ServedStep } from '../pipeline/served-shard.js'
import type { Directory } from '../swarm/types.js'
import { instruments, type Instruments } from './instruments.js'
import { MeteredAnswers, type Answers } from './metered-answers.js'
import { ModelNames } from './model-names.js'
import { read } from './readings.js'
import { noTraffic } from './traffic.js'

/** Milliseconds between two looks at how late timers come, each of which wakes the process. */
const EVENT_LOOP_LOOK_MS = 20

export interface NodeMetricsParts {
  /** The node's own, which others may count in too. */
  registry: Registry
  directory: Pick<Directory, 'nodes'>
  /** Milliseconds, monotonic. */
  now: () => number
}

/** What a node counts of itself. */
export class NodeMetrics {
  /** Where the streams of sessions count their bytes. */
  readonly traffic = noTraffic()
  readonly contentType: string
  readonly #parts: NodeMetricsParts
  readonly #instruments: Instruments
  readonly #names: ModelNames
  readonly #metered: MeteredAnswers[] = []
  #waiting: () => number = () => 0
  #watchesNode = false
  #positions = 0

  constructor(parts: NodeMetricsParts) {
    this.#parts = parts
    this.#names = new ModelNames(parts)
    this.contentType = parts.registry.contentType
    this.#instruments = instruments(parts.registry)
    for (const cause of ['lost', 'moved']) this.#instruments.recoveries.inc({ cause }, 0)
  }

  /** The same answers, counted. Once for each way to a node: an answer that passes two would count twice. */
  answers(answers: Answers): Answers {
    const metered = new MeteredAnswers(answers, { ...this.#parts, instruments: this.#instruments, names: this.#names })
    this.#metered.push(metered)
    return metered
  }

  /** The same for answers in turn: their wait counts as theirs, and each try of a turn does not count as an answer. */
  answersInTurn(turns: Answers & { readonly load: { waiting: number } }): Answers {
    this.#waiting = () => turns.load.waiting
    return this.answers(turns)
  }

  /** Computed by this node's layers since its start. */
  get positions(): number {
    return this.#positions
  }

  /** A step on this node's layers. */
  readonly step = ({ rows, queued, computed, decode, own }: ServedStep): void => {
    this.#positions += rows
    const { stepCompute, stepQueue, stepRows, decodeSteps, decodeRows } = this.#instruments
    const labels = { origin: own ? 'self' : 'peer' }
    stepCompute.observe(labels, computed / 1_000)
    stepQueue.observe(labels, queued / 1_000)
    stepRows.observe(labels, rows)
    if (decode === undefined) return
    decodeSteps.observe(decode.steps)
    decodeRows.observe(decode.rows)
  }

  /**
   * A request to the gateway. @param route the path's pattern; undefined: none @param status undefined: it got none
   * @param ms milliseconds
   */
  request({
    route = 'other',
    status,
    ms
  }: {
    route: string | undefined
    status: number | undefined
    ms: number
  }): void {
    const { requests, requestTime } = this.#instruments
    requests.inc({ route, status: status ?? 'aborted' })
    requestTime.observe({ route }, ms / 1_000)
  }

  /** All metrics in Prometheus' text format, version 0.0.4. */
  async text(status: StatusView): Promise<string> {
    const { registry, directory } = this.#parts
    // What Node.js says of itself is not free: a node that nobody watches does without.
    if (!this.#watchesNode) {
      this.#watchesNode = true
      collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: EVENT_LOOP_LOOK_MS })
    }
    const running = this.#metered.reduce((sum, metered) => sum + metered.running, 0)
    const sources = { status, nodes: directory.nodes(), traffic: this.traffic }
    read(this.#instruments, this.#names, { ...sources, answers: { running, waiting: this.#waiting() } })
    return registry.metrics()
  }
}
