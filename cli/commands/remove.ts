import type { ModelView } from '../../node/control/contract.js'
import { nearest } from '../../node/parse.js'
import { PipelineError } from '../../node/pipeline/errors.js'
import { JSON_OPTION, type DefineCommand, type JsonOption } from '../context.js'
import { CliError } from '../errors.js'
import { requireDaemon } from '../node.js'

export const define: DefineCommand = (command, context) => {
  command
    .argument('<model>', 'name, or start of the manifest hash')
    .option(...JSON_OPTION)
    .action(async (wanted: string, { json }: JsonOption) => {
      const daemon = await requireDaemon(context)
      const { name, manifest } = findModel(await daemon.models(), wanted)
      await daemon.remove(manifest)
      context.output.result(json, { removed: manifest, name }, () => [`This node no longer holds ${name}.`])
    })
}

/** The shortest start of a hash that is taken for one. */
const SHORTEST_HASH = 6

/** By name, or by the start of the manifest's hash. */
export function findModel(models: readonly ModelView[], wanted: string): ModelView {
  const isHash = wanted.length >= SHORTEST_HASH && /^[0-9a-f]+$/.test(wanted)
  const found = models.filter(({ name, manifest }) => name === wanted || (isHash && manifest.startsWith(wanted)))
  const [first] = found
  if (first !== undefined && found.length === 1) return first
  const names = models.map(({ name }) => name)
  if (first === undefined) {
    const closest = nearest(wanted, names)
    const hint = closest === undefined ? '' : ` Did you mean ${closest}?`
    throw new PipelineError('UNKNOWN_MODEL', `Nobody here offers ${wanted}.${hint}`, { details: { model: wanted } })
  }
  const hashes = found.map(({ manifest }) => manifest)
  throw new CliError(
    'AMBIGUOUS_NAME',
    `Several models are called ${wanted}: name one by its hash, ${hashes.join(' or ')}.`
  )
}
