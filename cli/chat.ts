import { createInterface, type Interface } from 'node:readline'
import type { GenerateRequest } from '../node/control/contract.js'
import type { ControlService } from '../node/control/service.js'
import type { ChatMessage } from '../node/engine/types.js'
import { ask, streamAnswer, type Answer } from './answer.js'
import type { Context } from './context.js'
import { CliError } from './errors.js'
import { reportFailure } from './failure.js'
import { rerouteLines, speedLine, statsLines } from './render/answer.js'
import { routeOptionsOf, samplingOf, type AnswerOptions } from './sampling.js'

export interface ChatParts {
  service: Pick<ControlService, 'generate'>
  context: Context
}

export interface ChatSettings extends AnswerOptions {
  model: string
}

/** A conversation, line by line: each line is asked with all that was said before. */
export class Chat {
  readonly #service: ChatParts['service']
  readonly #context: Context
  readonly #settings: ChatSettings
  readonly #interactive: boolean
  #messages: ChatMessage[]
  #answering: AbortController | undefined
  /** Ctrl+C was pressed while nothing was being answered; the next one ends the chat. */
  #leaving = false

  constructor({ service, context }: ChatParts, settings: ChatSettings) {
    this.#service = service
    this.#context = context
    this.#settings = settings
    this.#interactive = context.stdin.isTTY && context.output.stdout.isTTY
    this.#messages = this.#beginning()
  }

  /** Until the end of the input, `/exit`, or Ctrl+C twice. */
  async talk(): Promise<void> {
    const lines = createInterface({
      input: this.#context.stdin,
      output: this.#context.output.stdout,
      terminal: this.#interactive,
      prompt: '> '
    })
    const onInterrupt = (): void => this.#interrupt(lines)
    const onTerminate = (): void => {
      this.#answering?.abort(new CliError('INTERRUPTED', 'Interrupted.'))
      lines.close()
    }
    lines.on('SIGINT', onInterrupt)
    process.on('SIGINT', onInterrupt)
    process.on('SIGTERM', onTerminate)
    try {
      this.#prompt(lines)
      for await (const line of lines) {
        this.#leaving = false
        if (line.trim() === '/exit') break
        await this.#hear(line.trim())
        this.#prompt(lines)
      }
    } finally {
      lines.close()
      process.off('SIGINT', onInterrupt)
      process.off('SIGTERM', onTerminate)
    }
  }

  async #hear(line: string): Promise<void> {
    if (line === '') return
    if (line === '/reset') {
      this.#messages = this.#beginning()
      this.#context.output.notes(['The conversation starts anew.'])
      return
    }
    if (line.startsWith('/')) {
      this.#context.output.notes([`There is no ${line.split(' ', 1).join()}; there are /reset and /exit.`])
      return
    }
    await this.#answer(line)
  }

  async #answer(content: string): Promise<void> {
    const before = this.#messages
    this.#messages = [...before, { role: 'user', content }]
    const controller = new AbortController()
    this.#answering = controller
    try {
      const answer = await this.#ask(controller.signal)
      this.#messages = [...this.#messages, { role: 'assistant', content: answer.text }]
      this.#tellStats(answer)
    } catch (error) {
      // What was not answered was not said.
      this.#messages = before
      if (controller.signal.aborted) return
      if (!this.#interactive) throw error
      const { output, env } = this.#context
      reportFailure(error, output, { json: false, debug: env['FLAMBEAU_DEBUG'] === '1' })
    } finally {
      this.#answering = undefined
    }
  }

  async #ask(signal: AbortSignal): Promise<Answer> {
    const { model, json } = this.#settings
    const sampling = samplingOf(this.#settings)
    const request: GenerateRequest = { model, messages: this.#messages, sampling, ...routeOptionsOf(this.#settings) }
    const { output } = this.#context
    if (!json) return streamAnswer(request, { service: this.#service, output, signal })
    const answer = await ask(this.#service, request, { signal, onText: () => undefined })
    output.json(answer)
    return answer
  }

  #tellStats({ stats, reason, reroutes }: Answer): void {
    const { output } = this.#context
    output.notes(rerouteLines(reroutes).map(text => output.paintNote('dim', text)))
    if (reason === 'context') output.notes(['The context is full: /reset makes room.'])
    if (this.#settings.stats)
      output.notes([...statsLines(stats), speedLine(stats)].map(text => output.paintNote('dim', text)))
  }

  #interrupt(lines: Interface): void {
    if (this.#answering !== undefined) {
      this.#answering.abort(new CliError('INTERRUPTED', 'Interrupted.'))
    } else if (this.#leaving) {
      lines.close()
    } else {
      this.#leaving = true
      this.#context.output.notes(['', 'Ctrl+C again ends the chat.'])
      this.#prompt(lines)
    }
  }

  #prompt(lines: Interface): void {
    if (this.#interactive) lines.prompt()
  }

  #beginning(): ChatMessage[] {
    const { system } = this.#settings
    return system === undefined ? [] : [{ role: 'system', content: system }]
  }
}
