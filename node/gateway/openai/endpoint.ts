import { randomBytes } from 'node:crypto'
import type { GenerateEvent, GenerateRequest, GenerateStats } from '../../control/contract.js'
import { withoutErrorEvents } from '../../control/errors.js'
import type { ControlService } from '../../control/service.js'
import { Course, finishReason, type FlambeauView } from '../course.js'
import { merged } from '../merge.js'
import type { Answer } from '../running.js'
import { usageOf, type Usage } from './answers.js'
import type { CommonRequest } from './schemas.js'

type TextEvent = Extract<GenerateEvent, { event: 'text' }>
type CallEvent = Extract<GenerateEvent, { event: 'tool-call' }>
type Event = Exclude<GenerateEvent, { event: 'error' }>

/** One answer that a request asks for. */
export interface Asked {
  /** The prompt's number in the request. */
  prompt: number
  generate: GenerateRequest
}

/** What chat and plain completions differ in: the parts of a choice. */
export interface AnswerForm {
  readonly object: string
  readonly chunkObject: string
  readonly idPrefix: string
  /** Comes before all text of a choice; undefined: nothing does. */
  opening(asked: Asked): object | undefined
  delta(asked: Asked, event: TextEvent): object
  /** @returns undefined where it is not told */
  call(asked: Asked, event: CallEvent): object | undefined
  closing(asked: Asked): object
  whole(asked: Asked, texts: readonly TextEvent[], calls: readonly CallEvent[]): object
}

interface Choice {
  index: number
  asked: Asked
  texts: TextEvent[]
  calls: CallEvent[]
  course: Course
  done: Extract<GenerateEvent, { event: 'done' }> | undefined
}

/** The answers to one request of OpenAI's interface, in one piece or as a stream. */
export class Completion implements Answer {
  readonly #service: Pick<ControlService, 'generate'>
  readonly #form: AnswerForm
  readonly #request: CommonRequest
  readonly #choices: Choice[]
  readonly #facts: { id: string; created: number; model: string }

  constructor(
    service: Pick<ControlService, 'generate'>,
    form: AnswerForm,
    { request, asked }: { request: CommonRequest; asked: readonly Asked[] }
  ) {
    this.#service = service
    this.#form = form
    this.#request = request
    this.#choices = asked.map((one, index) => ({
      ...{ index, asked: one, texts: [], calls: [], course: new Course(), done: undefined }
    }))
    this.#facts = {
      id: `${form.idPrefix}-${randomBytes(16).toString('hex')}`,
      created: Math.floor(Date.now() / 1_000),
      model: request.model
    }
  }

  /** @throws what an answer fails with */
  async whole(signal: AbortSignal): Promise<object> {
    for await (const { choice, event } of this.#events(signal)) {
      if (event.event === 'text') choice.texts.push(event)
      if (event.event === 'tool-call') choice.calls.push(event)
    }
    const choices = this.#choices.map(({ index, asked, texts, calls, ...choice }) => ({
      ...{ index, ...this.#form.whole(asked, texts, calls), finish_reason: choice.done && finishReason(choice.done) },
      flambeau: viewOf(choice)
    }))
    return { ...this.#facts, object: this.#form.object, choices, usage: this.#usage() }
  }

  /** Chunks, and in the end the word that OpenAI's streams end with. @throws what an answer fails with */
  async *parts(signal: AbortSignal): AsyncGenerator<object | string | undefined> {
    let begun = false
    for await (const { choice, event } of this.#events(signal)) {
      if (!begun) yield* this.#choices.map(one => this.#chunk(one, this.#form.opening(one.asked)))
      begun = true
      yield this.#part(choice, event)
    }
    if (this.#includesUsage) {
      yield { ...this.#facts, object: this.#form.chunkObject, choices: [], usage: this.#usage() }
    }
    yield '[DONE]'
  }

  async *#events(signal: AbortSignal): AsyncGenerator<{ choice: Choice; event: Event }> {
    const answers = this.#choices.map(({ asked }) =>
      withoutErrorEvents(this.#service.generate(asked.generate, { signal }))
    )
    for await (const { index, value: event } of merged<Event>(answers)) {
      const choice = this.#choices[index]
      if (choice === undefined) continue
      if (event.event === 'reroute') choice.course.rerouted(event)
      if (event.event === 'done') choice.done = event
      yield { choice, event }
    }
  }

  #part(choice: Choice, event: Event): object | undefined {
    if (event.event === 'text') return this.#chunk(choice, this.#form.delta(choice.asked, event))
    if (event.event === 'tool-call') return this.#chunk(choice, this.#form.call(choice.asked, event))
    if (event.event !== 'done') return undefined
    const closing = { ...this.#form.closing(choice.asked), finish_reason: finishReason(event) }
    return this.#chunk(choice, { ...closing, flambeau: viewOf(choice) })
  }

  #chunk({ index }: Choice, part: object | undefined): object | undefined {
    if (part === undefined) return undefined
    return {
      ...{ ...this.#facts, object: this.#form.chunkObject },
      choices: [{ index, finish_reason: null, ...part }],
      ...(this.#includesUsage && { usage: null })
    }
  }

  get #includesUsage(): boolean {
    return this.#request.stream_options?.include_usage === true
  }

  #usage(): Usage {
    const stats = (done: Choice['done']): { stats: GenerateStats }[] => (done === undefined ? [] : [done])
    return usageOf(
      this.#choices.flatMap(({ asked, done }) => stats(done).map(one => ({ prompt: asked.prompt, stats: one.stats })))
    )
  }
}

function viewOf({ course, done }: Pick<Choice, 'course' | 'done'>): FlambeauView | undefined {
  return done && course.view(done.stats)
}
