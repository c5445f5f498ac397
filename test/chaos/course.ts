import type { ErrorView, GenerateEvent, GenerateRequest, RouteStageView } from '../../node/control/contract.js'
import { asError } from '../../protocol/errors.js'
import type { ControlService } from '../../node/control/service.js'

type Reroute = Extract<GenerateEvent, { event: 'reroute' }>

/** One answer as whoever asked sees it. */
export class Course {
  readonly tokens: number[] = []
  readonly reroutes: Reroute[] = []
  /** As it is now. */
  route: readonly RouteStageView[] = []
  /** Milliseconds between the texts before and after a change of the route. */
  readonly pauses: number[] = []
  /** How often it said that it waits for a holder. */
  waits = 0
  done: Extract<GenerateEvent, { event: 'done' }> | undefined
  error: Pick<ErrorView, 'code' | 'message'> | undefined
  /** When the last event came, milliseconds. */
  last = performance.now()
  /** Resolves when it has ended, whether well or not. */
  readonly ended: Promise<void>
  #over = false
  #lastText: number | undefined
  #rerouted = false
  readonly #waiting: { tokens: number; resolve: () => void }[] = []

  constructor(service: Pick<ControlService, 'generate'>, request: GenerateRequest, signal: AbortSignal) {
    this.ended = this.#read(service.generate(request, { signal }))
  }

  get over(): boolean {
    return this.#over
  }

  /** Resolves when so many tokens have come, or no more will. */
  async reached(tokens: number): Promise<void> {
    if (this.#over || this.tokens.length >= tokens) return
    const { promise, resolve } = Promise.withResolvers<undefined>()
    this.#waiting.push({ tokens, resolve: () => resolve(undefined) })
    await promise
  }

  async #read(events: AsyncIterable<GenerateEvent>): Promise<void> {
    try {
      for await (const event of events) this.#take(event)
      if (this.done === undefined) this.error ??= { code: 'NO_END', message: 'the answer ended without saying why' }
    } catch (error) {
      const { code = 'UNKNOWN' } = error as { code?: string }
      this.error ??= { code, message: asError(error).message }
    } finally {
      this.#over = true
      for (const { resolve } of this.#waiting) resolve()
    }
  }

  #take(event: GenerateEvent): void {
    this.last = performance.now()
    switch (event.event) {
      case 'route':
        this.route = event.stages
        break
      case 'reroute':
        this.route = event.stages
        this.reroutes.push(event)
        this.#rerouted = true
        break
      case 'waiting':
        this.waits++
        break
      case 'text':
        this.tokens.push(...event.tokens)
        this.#pause()
        for (const { tokens, resolve } of this.#waiting) if (this.tokens.length >= tokens) resolve()
        break
      case 'done':
        this.done = event
        break
      case 'error':
        this.error = event.error
        break
      case 'tool-call': // nobody offers tools here
    }
  }

  #pause(): void {
    if (this.#rerouted && this.#lastText !== undefined) this.pauses.push(this.last - this.#lastText)
    this.#rerouted = false
    this.#lastText = this.last
  }
}
