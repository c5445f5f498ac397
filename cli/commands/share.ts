import type { ShareEvent, ShareRequest } from '../../node/control/contract.js'
import { withoutErrorEvents } from '../../node/control/errors.js'
import type { LayerRange } from '../../node/models/types.js'
import { existingFile, layersArgument, nameArgument } from '../arguments.js'
import { JSON_OPTION, type DefineCommand, type JsonOption } from '../context.js'
import { interruptible } from '../interrupt.js'
import { requireDaemon } from '../node.js'
import { cutsText, layerRange, printable, shellWord, shortHash } from '../render/format.js'
import { createProgress, type Progress } from '../render/progress.js'

interface ShareOptions extends JsonOption {
  name?: string
  layers?: LayerRange
}

export const define: DefineCommand = (command, context) => {
  command
    .argument('<file>', 'GGUF file of the whole model')
    .option(
      '--name <name>',
      'how people call it (default: what it calls itself, or the name of the file)',
      nameArgument
    )
    .option('--layers <range>', 'serve these layers of it, 0-8 being layers 0 to 7', layersArgument)
    .option(...JSON_OPTION)
    .action(async (file: string, { name, layers, json }: ShareOptions) => {
      using interrupt = interruptible()
      const daemon = await requireDaemon(context)
      const request: ShareRequest = { file: existingFile(file), ...(name && { name }), ...(layers && { layers }) }
      const progress = await createProgress(context.output.stderr)
      try {
        const shared = await follow(daemon.share(request, interrupt), progress)
        progress.end()
        context.output.result(json, shared, () => sharedLines(shared))
        context.output.notes(servingNotes(shared, layers))
      } catch (error) {
        interrupt.signal.throwIfAborted()
        throw error
      } finally {
        progress.end()
      }
    })
}

type Shared = Omit<Extract<ShareEvent, { event: 'shared' }>, 'event'>

const PHASES = {
  reading: 'reading',
  checking: 'comparing split and whole',
  hashing: 'hashing',
  loading: 'loading layers here'
} as const

async function follow(events: AsyncIterable<ShareEvent>, progress: Progress): Promise<Shared> {
  for await (const event of withoutErrorEvents(events)) {
    if (event.event === 'shared') {
      const { model, manifest, layers, cuts, serves, problem } = event
      return { model, manifest, layers, cuts, ...(serves && { serves }), ...(problem && { problem }) }
    }
    const note = event.note === undefined ? '' : `, ${printable(event.note)}`
    progress.update(`${PHASES[event.phase]}${note}`, event.done, event.total)
  }
  throw new Error('The node stopped sharing without saying why.')
}

/** Where this node does not serve what was asked for. */
function servingNotes({ model, problem, serves }: Shared, wanted: LayerRange | undefined): string[] {
  if (problem !== undefined) return [`This node serves none of it: ${printable(problem.message)}`]
  if (wanted === undefined || serves === undefined || layerRange(wanted) === layerRange(serves)) return []
  return [`It served those already. To choose others, \`flambeau remove ${shellWord(printable(model))}\` first.`]
}

function sharedLines({ model, manifest, layers, cuts, serves }: Shared): string[] {
  const served = serves === undefined ? [] : [`This node serves layers ${layerRange(serves)} of it.`]
  return [
    `${printable(model)} is shared: ${layers} layers, ${cutsText(cuts, layers)}.`,
    ...served,
    `Manifest ${shortHash(manifest)}. Ask it with \`flambeau run ${shellWord(printable(model))} "…"\`.`
  ]
}
