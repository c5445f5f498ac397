import { prepareHome } from '../../node/home.js'
import type { SplitCheckOptions, SplitCheckResult, SplitProgress } from '../../node/models/split-check.js'
import { cutsArgument, existingFile } from '../arguments.js'
import { JSON_OPTION, type Context, type DefineCommand, type JsonOption } from '../context.js'
import { usage } from '../errors.js'
import { EXIT } from '../exit-codes.js'
import { interruptible } from '../interrupt.js'
import type { Paint } from '../render/colour.js'
import { layerRange } from '../render/format.js'
import { createProgress } from '../render/progress.js'
import { pairs } from '../render/table.js'

interface CheckOptions extends JsonOption {
  cuts: number[]
}

export const define: DefineCommand = (command, context) => {
  command
    .command('check')
    .summary('compare a model cut into shards with the whole one, every logit')
    .argument('<file>', 'any GGUF file of a whole model; no swarm is needed')
    .requiredOption('--cuts <layers>', 'cut before each of these, e.g. 2,5 (required)', cutsArgument)
    .option(...JSON_OPTION)
    .addHelpText('after', `\nExit code ${EXIT.ERROR} where the answers differ by more than rounding.`)
    .action((file: string, options: CheckOptions) => check(context, existingFile(file), options))
}

async function check(context: Context, file: string, { cuts, json }: CheckOptions): Promise<void> {
  using interrupt = interruptible()
  const result = await compare(context, { file, cuts, signal: interrupt.signal })
  context.output.result(json, result, paint => resultLines(result, paint))
  if (!result.exact) process.exitCode = EXIT.ERROR
}

type Wanted = Pick<SplitCheckOptions, 'file'> & { cuts: number[]; signal: AbortSignal }

async function compare({ output, home, env }: Context, wanted: Wanted): Promise<SplitCheckResult> {
  const [{ loadConfig }, { createLogger }, { startEngine }, { checkSplit }] = await Promise.all([
    import('../../node/config.js'),
    import('../../node/logger.js'),
    import('../engine.js'),
    import('../../node/models/split-check.js')
  ])
  const config = await loadConfig({ home, env })
  await using started = await startEngine({ config, logger: createLogger({ level: 'error' }) }, wanted)
  const progress = await createProgress(output.stderr)
  try {
    const onProgress = ({ cuts, range, layers }: SplitProgress): void => {
      if (cuts.length === 0) progress.update('the whole model', 0, 0)
      else progress.update(`layers ${layerRange(range)}`, range.end, layers)
    }
    const { modelsFolder: folder } = prepareHome(home) // not the system's: shards are as large as the model
    return await checkSplit({ ...wanted, engine: started.engine, folder, onProgress })
  } catch (error) {
    wanted.signal.throwIfAborted()
    if (error instanceof RangeError) throw usage(`${error.message}.`)
    throw error
  } finally {
    progress.end()
  }
}

function resultLines(result: SplitCheckResult, paint: Paint): string[] {
  const { architecture, layers, cuts, largestDifference, largestLogit, differentTokens, exact } = result
  const verdict = exact
    ? paint('green', 'The shards answer as the whole model does.')
    : paint('red', 'The shards do not answer as the whole model does: do not cut it there.')
  return [
    ...pairs([
      ['model', `${architecture}, ${layers} layers, cut before ${cuts.join(', ')}`],
      ['largest difference', `${largestDifference.toPrecision(3)} of logits up to ${largestLogit.toPrecision(3)}`],
      ['different tokens', String(differentTokens)]
    ]),
    verdict
  ]
}
