import { statSync } from 'node:fs'
import { resolve } from 'node:path'
import { connectToDaemon } from '../../node/control/client.js'
import { MAX_TOKENS } from '../../node/control/limits.js'
import type { EstimateView, PlanRequest } from '../../node/control/plan.js'
import { wholeBetween } from '../arguments.js'
import { JSON_OPTION, type Context, type DefineCommand, type JsonOption } from '../context.js'
import { usage } from '../errors.js'
import { interruptible } from '../interrupt.js'
import { useNode } from '../node.js'
import { historyLines, planLines } from '../render/plan.js'

interface PlanOptions extends JsonOption {
  promptTokens?: number
  maxTokens?: number
  history?: boolean
}

export const define: DefineCommand = (command, context) => {
  command
    .argument('[model]', 'name, 6 or more digits of the manifest hash, or a GGUF file on this machine')
    .option('--prompt-tokens <number>', 'tokens of the prompt (default: 128)', wholeBetween(1, MAX_TOKENS))
    .option('--max-tokens <number>', 'tokens of the answer, at most (default: 512)', wholeBetween(1, MAX_TOKENS))
    .option('--history', 'what was expected of the last answers, and what they took')
    .option(...JSON_OPTION)
    .action(async (model: string | undefined, options: PlanOptions) => {
      using interrupt = interruptible()
      if (options.history) {
        await showHistory(context, model, options)
        return
      }
      if (model === undefined) throw usage('Which model? `flambeau models` lists them; a GGUF file will do too.')
      const { promptTokens, maxTokens } = options
      const request = { ...named(model), ...(promptTokens && { promptTokens }), ...(maxTokens && { maxTokens }) }
      await using node = await useNode(context, interrupt)
      const plan = await node.service.plan(request, interrupt)
      context.output.result(options.json, plan, paint => planLines(plan, paint))
    })
}

/** A file where there is one: the daemon's working folder is another one. */
function named(model: string): PlanRequest {
  const file = resolve(model)
  const isFile = /\.gguf$|[/\\]/i.test(model) && statSync(file, { throwIfNoEntry: false })?.isFile()
  return isFile === true ? { file } : { model }
}

async function showHistory(context: Context, model: string | undefined, { json }: JsonOption): Promise<void> {
  if (model !== undefined) throw usage('--history is of all models: leave the model away.')
  const estimates = await history(context)
  context.output.result(json, estimates, paint => historyLines(estimates, new Date(), paint))
}

/** Of the running daemon; without one, as the last one has left it. */
async function history({ home }: Context): Promise<EstimateView[]> {
  const daemon = await connectToDaemon(home)
  if (daemon !== undefined) return daemon.estimates()
  const { estimateView, readAnswers } = await import('../../node/estimate/history.js')
  const answers = await readAnswers(home.estimatesFile).catch(() => []) // damaged: the next daemon says so
  return answers.map(estimateView)
}
