import type { GenerateRequest } from '../../node/control/contract.js'
import { MAX_REQUEST_BYTES } from '../../node/control/limits.js'
import { abortable } from '../../node/deadline.js'
import { EngineError } from '../../node/engine/errors.js'
import { PipelineError } from '../../node/pipeline/errors.js'
import { ask, streamAnswer, type Answer, type Asking } from '../answer.js'
import { JSON_OPTION, type Context, type DefineCommand } from '../context.js'
import { usage } from '../errors.js'
import { interruptible } from '../interrupt.js'
import { useNode } from '../node.js'
import { rerouteLines, routeLines, speedLine, statsLines } from '../render/answer.js'
import { addAnswerOptions, routeOptionsOf, samplingOf, type AnswerOptions } from '../sampling.js'

interface RunOptions extends AnswerOptions {
  raw?: boolean
}

export const define: DefineCommand = (command, context) => {
  command
    .argument('<model>', 'name, or 6 or more digits of the manifest hash; `flambeau models` lists them')
    .argument('[prompt...]', 'from standard input where it is absent or -')
    .option('--raw', 'continue the prompt as plain text, without the chat template')
  addAnswerOptions(command)
    .option(...JSON_OPTION)
    .action(async (model: string, words: string[], options: RunOptions) => {
      using interrupt = interruptible()
      const prompt = await abortable(promptFrom(words, context, options), interrupt.signal)
      await using node = await useNode(context, interrupt)
      const request = requestFor(model, prompt, options)
      if (options.json)
        await answerJson(request, { output: context.output, service: node.service, signal: interrupt.signal })
      else
        await answerText(request, { output: context.output, service: node.service, signal: interrupt.signal }, options)
    })
}

async function answerJson(request: GenerateRequest, { output, service, signal }: Asking): Promise<void> {
  const answer = await ask(service, request, { signal, onText: () => undefined })
  output.json({ model: request.model, ...answer })
}

async function answerText(request: GenerateRequest, asking: Asking, { stats }: RunOptions): Promise<void> {
  const { output } = asking
  const answer = await streamAnswer(request, asking)
  output.notes(['', ...routeLines(answer.stats, output.paintNote), ...rerouteLines(answer.reroutes), endLine(answer)])
  if (stats) output.notes(statsLines(answer.stats))
}

function endLine({ reason, stats }: Answer): string {
  const why = reason === 'length' ? '; ended by --max-tokens' : reason === 'context' ? '; the context is full' : ''
  return `${speedLine(stats)}${why}`
}

function requestFor(model: string, prompt: string, options: RunOptions): GenerateRequest {
  const { system, raw } = options
  if (raw && system !== undefined) throw usage('--raw continues plain text: it has no place for --system.')
  const common = { model, sampling: samplingOf(options), ...routeOptionsOf(options) }
  if (system === undefined) return { ...common, prompt, ...(raw && { raw }) }
  return {
    ...common,
    messages: [
      { role: 'system', content: system },
      { role: 'user', content: prompt }
    ]
  }
}

async function promptFrom(words: readonly string[], { stdin }: Context, { raw }: RunOptions): Promise<string> {
  const given = words.join(' ')
  if (given !== '' && given !== '-') return given
  if (words.length > 0 && given === '') throw emptyPrompt('put some words between the quotes')
  if (given === '' && stdin.isTTY) throw usage('There is no prompt: add it in quotes, or pipe it in.')
  const text = await readAll(stdin)
  if (text.trim() === '') throw emptyPrompt('nothing came from standard input')
  return raw ? text : text.trimEnd()
}

function emptyPrompt(why: string): PipelineError {
  return new PipelineError('EMPTY_PROMPT', `The prompt is empty: ${why}.`)
}

/** Bytes; JSON may double some of them. */
const MAX_PROMPT_BYTES = MAX_REQUEST_BYTES / 2

async function readAll(stdin: NodeJS.ReadStream): Promise<string> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of stdin as AsyncIterable<Buffer>) {
    size += chunk.byteLength
    if (size > MAX_PROMPT_BYTES) {
      throw new EngineError('TEXT_TOO_LONG', `The prompt has more than ${MAX_PROMPT_BYTES} bytes: shorten it.`)
    }
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}
