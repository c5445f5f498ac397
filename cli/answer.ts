import type { GenerateEvent, GenerateRequest, GenerateStats, RouteStageView } from '../node/control/contract.js'
import { withoutErrorEvents } from '../node/control/errors.js'
import type { ControlService } from '../node/control/service.js'
import type { Output } from './output.js'
import { printableText } from './render/format.js'

export interface Answer {
  text: string
  tokens: number[]
  reason: Extract<GenerateEvent, { event: 'done' }>['reason']
  /** As it is at the end. */
  route: RouteStageView[]
  /** How it has changed in the course of the answer. */
  reroutes: Omit<Extract<GenerateEvent, { event: 'reroute' }>, 'event'>[]
  stats: GenerateStats
}

export interface AskOptions {
  signal: AbortSignal
  /** Text as it comes; the next piece waits for it. */
  onText: (text: string) => Promise<void> | void
  /** Nobody serves what is needed now, and somebody is waited for. */
  onWaiting?: (why: string) => void
}

/** Asks and collects the answer. After an abort it rejects with the signal's reason. */
export async function ask(
  service: Pick<ControlService, 'generate'>,
  request: GenerateRequest,
  { signal, onText, onWaiting }: AskOptions
): Promise<Answer> {
  const answer: Omit<Answer, 'reason' | 'stats'> = { text: '', tokens: [], route: [], reroutes: [] }
  try {
    for await (const event of withoutErrorEvents(service.generate(request, { signal }))) {
      if (event.event === 'route') answer.route = event.stages
      if (event.event === 'waiting') onWaiting?.(event.message)
      if (event.event === 'reroute') {
        const { stages, lost, replayed, elapsedMs } = event
        answer.route = stages
        answer.reroutes.push({ stages, lost, replayed, elapsedMs })
      }
      if (event.event === 'done') return { ...answer, reason: event.reason, stats: event.stats }
      if (event.event !== 'text') continue
      answer.text += event.text
      answer.tokens.push(...event.tokens)
      await onText(event.text)
    }
  } catch (error) {
    signal.throwIfAborted()
    throw error
  }
  signal.throwIfAborted()
  throw new Error('The node ended its answer without saying why.')
}

export interface Asking {
  service: Pick<ControlService, 'generate'>
  output: Output
  signal: AbortSignal
}

/** Writes the answer to standard output as it comes, and ends its last line whatever happens. */
export async function streamAnswer(request: GenerateRequest, { output, service, signal }: Asking): Promise<Answer> {
  let last = ''
  try {
    return await ask(service, request, {
      signal,
      onText: async text => {
        if (text === '') return
        last = text
        await output.text(shown(text, output))
      },
      onWaiting: why => {
        if (last !== '' && !last.endsWith('\n')) output.stdout.write('\n')
        last = ''
        output.notes([`Waiting: ${why}`])
      }
    })
  } finally {
    if (last !== '' && !last.endsWith('\n')) output.stdout.write('\n')
  }
}

/** On a terminal nothing in the answer may steer it; a file gets the very bytes. */
function shown(text: string, { stdout }: Output): string {
  return stdout.isTTY ? printableText(text) : text
}
