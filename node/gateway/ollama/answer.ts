import type { GenerateEvent, GenerateRequest, GenerateStats } from '../../control/contract.js'
import { withoutErrorEvents } from '../../control/errors.js'
import type { ControlService } from '../../control/service.js'
import { Course, finishReason } from '../course.js'
import type { Answer } from '../running.js'

type Event = Exclude<GenerateEvent, { event: 'error' }>
type DoneEvent = Extract<GenerateEvent, { event: 'done' }>
type CallEvent = Extract<GenerateEvent, { event: 'tool-call' }>

/** How an endpoint carries text, and calls of tools. */
export type Form = (text: string, calls?: readonly CallEvent[]) => object

export const chatForm: Form = (content, calls = []) => ({
  message: { role: 'assistant', content, ...(calls.length > 0 && { tool_calls: calls.map(callView) }) }
})
export const textForm: Form = response => ({ response })

/** With arguments as a value. */
function callView({ name, arguments: json }: CallEvent): object {
  return { function: { name, arguments: JSON.parse(json) as unknown } }
}

/** An object that is not the last. @param model as the client calls it */
export function partOf(model: string, form: Form, text: string, calls: readonly CallEvent[] = []): object {
  return { model, created_at: new Date().toISOString(), ...form(text, calls), done: false }
}

/** What the last object says where nothing was asked: clients load a model like that, and here it is loaded already. */
export function loaded(model: string, form: Form): object {
  return { ...partOf(model, form, ''), done: true, done_reason: 'load' }
}

/** An answer in Ollama's form. */
export class OllamaAnswer implements Answer {
  readonly #service: Pick<ControlService, 'generate'>
  readonly #form: Form
  readonly #asked: GenerateRequest
  readonly #course = new Course()
  readonly #began = performance.now()

  constructor(service: Pick<ControlService, 'generate'>, form: Form, asked: GenerateRequest) {
    this.#service = service
    this.#form = form
    this.#asked = asked
  }

  async whole(signal: AbortSignal): Promise<object> {
    let text = ''
    const calls: CallEvent[] = []
    for await (const event of this.#events(signal)) {
      if (event.event === 'text') text += event.text
      if (event.event === 'tool-call') calls.push(event)
      if (event.event === 'done') return this.#last(this.#part(text, calls), event)
    }
    throw new RangeError('an answer without an end')
  }

  async *parts(signal: AbortSignal): AsyncGenerator<object | undefined> {
    for await (const event of this.#events(signal)) {
      if (event.event === 'done') yield this.#last(this.#part(''), event)
      else if (event.event === 'tool-call') yield this.#part('', [event])
      else yield event.event === 'text' && event.text !== '' ? this.#part(event.text) : undefined
    }
  }

  async *#events(signal: AbortSignal): AsyncGenerator<Event> {
    for await (const event of withoutErrorEvents(this.#service.generate(this.#asked, { signal }))) {
      if (event.event === 'reroute') this.#course.rerouted(event)
      yield event
    }
  }

  #part(text: string, calls: readonly CallEvent[] = []): object {
    return partOf(this.#asked.model, this.#form, text, calls)
  }

  #last(part: object, done: DoneEvent): object {
    const reason = finishReason(done)
    return {
      ...part,
      ...{ done: true, done_reason: reason === 'tool_calls' ? 'stop' : reason },
      ...timings(done.stats, performance.now() - this.#began),
      flambeau: this.#course.view(done.stats)
    }
  }
}

/** Nanoseconds and tokens. Nothing is loaded for an answer. @param totalMs since the request came */
function timings({ promptTokens, promptMs, generatedTokens, decodeMs }: GenerateStats, totalMs: number): object {
  return {
    total_duration: nanoseconds(totalMs),
    load_duration: 0,
    prompt_eval_count: promptTokens,
    prompt_eval_duration: nanoseconds(promptMs),
    eval_count: generatedTokens,
    eval_duration: nanoseconds(decodeMs)
  }
}

const nanoseconds = (milliseconds: number): number => Math.round(milliseconds * 1_000_000)
