import { createInterface, type Interface } from 'node:readline/promises'
import { InvalidArgumentError } from 'commander'
import { shareBytes } from '../../node/config.js'
import { abortable } from '../../node/deadline.js'
import { readHardware } from '../../node/hardware.js'
import type { Membership } from '../../node/swarm/membership.js'
import { InvitationError } from '../../protocol/invitation.js'
import type { Context } from '../context.js'
import { CliError } from '../errors.js'
import { interruptible } from '../interrupt.js'
import type { Output } from '../output.js'
import { bytes } from '../render/format.js'
import {
  memoryQuestion,
  swarmQuestion,
  yieldQuestion,
  type AskedSetting,
  type AskedSettings,
  type Question
} from './answers.js'

export interface FirstAnswers {
  membership: Membership
  settings: AskedSettings
}

/**
 * Asks at the terminal what only the owner of a new node knows. Writes nothing.
 * @param wanted - the settings to ask for
 * @throws CliError INTERRUPTED at Ctrl+C, at the request to end and at the end of the input
 */
export async function askFirst(context: Context, wanted: readonly AskedSetting[]): Promise<FirstAnswers> {
  using dialogue = openDialogue(context)
  context.output.lines(['This is a new node. Enter takes what stands in brackets.'])
  const membership = await dialogue.ask(swarmQuestion())
  const settings: AskedSettings = {}
  if (wanted.includes('share.memory'))
    settings['share.memory'] = await dialogue.ask(memoryQuestion(await automaticMemory()))
  if (wanted.includes('schedule.yield')) settings['schedule.yield'] = await dialogue.ask(yieldQuestion())
  return { membership, settings }
}

interface Dialogue extends Disposable {
  ask: <T>(question: Question<T>) => Promise<T>
}

/** The terminal is as it was once this is disposed. */
function openDialogue({ stdin, output }: Context): Dialogue {
  const interrupt = interruptible()
  const ending = new AbortController()
  const terminal = createInterface({ input: stdin, output: output.stdout, terminal: true })
  const end = (): void => {
    output.lines([''])
    ending.abort(new CliError('INTERRUPTED', 'Interrupted.'))
  }
  // While it is read line by line, a terminal tells of Ctrl+C by an event and not by a signal.
  terminal.once('SIGINT', end).once('close', end)
  interrupt.signal.addEventListener('abort', end, { once: true })
  return {
    ask: question => answerTo(question, { terminal, output, signal: ending.signal }),
    [Symbol.dispose]() {
      terminal.off('close', end).close()
      interrupt[Symbol.dispose]()
    }
  }
}

interface Asking {
  terminal: Interface
  output: Output
  signal: AbortSignal
}

async function answerTo<T>({ lines, fallback, read }: Question<T>, { terminal, output, signal }: Asking): Promise<T> {
  output.lines(['', ...lines])
  for (;;) {
    const answer = await abortable(terminal.question(`[${fallback}] `), signal)
    try {
      return read(answer.trim() === '' ? fallback : answer.trim())
    } catch (error) {
      output.lines([wrongIn(error)])
    }
  }
}

/** What is wrong with an answer. Anything else is no matter of the answer, and thrown on. */
function wrongIn(error: unknown): string {
  const known = error instanceof InvalidArgumentError || error instanceof InvitationError || error instanceof CliError
  if (!known) throw error
  return error.message
}

async function automaticMemory(): Promise<string> {
  const { memoryFree } = await readHardware()
  return bytes(shareBytes('auto', memoryFree))
}
