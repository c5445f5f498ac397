import { Option, type Command } from 'commander'
import type { GenerateRequest, SamplingRequest } from '../node/control/contract.js'
import type { Dtype } from '../node/engine/types.js'
import { MAX_CANDIDATES } from '../protocol/limits.js'
import { MAX_WAIT_SECONDS } from '../node/control/limits.js'
import { DEFAULT_MAX_TOKENS, DEFAULT_SAMPLING } from '../node/pipeline/sampling.js'
import { collectedText, numberBetween, wholeBetween } from './arguments.js'

/** What `run` and `chat` have in common. */
export interface AnswerOptions {
  temperature?: number
  topK?: number
  topP?: number
  minP?: number
  repeatPenalty?: number
  seed?: number
  stop?: string[]
  maxTokens?: number
  system?: string
  dtype?: Dtype
  replay?: 'fast' | 'exact'
  wait?: number
  stats?: boolean
  json?: boolean
}

const FRACTION = { minimum: 0, maximum: 1 }

export function addAnswerOptions(command: Command): Command {
  const { temperature, topK, topP, minP, repeatPenalty } = DEFAULT_SAMPLING
  return command
    .option(
      '--temperature <number>',
      `0 always takes the likeliest token (default: ${temperature})`,
      numberBetween({ minimum: 0, maximum: 100 })
    )
    .option(
      '--top-k <count>',
      `among the likeliest tokens only, at most ${MAX_CANDIDATES}, which 0 means too (default: ${topK})`,
      wholeBetween(0, 1_000_000)
    )
    .option(
      '--top-p <fraction>',
      `among the likeliest that have this probability together (default: ${topP})`,
      numberBetween(FRACTION)
    )
    .option(
      '--min-p <fraction>',
      `among those with this part of the likeliest one's probability (default: ${minP})`,
      numberBetween(FRACTION)
    )
    .option(
      '--repeat-penalty <number>',
      `against repetition; 1 is none (default: ${repeatPenalty})`,
      numberBetween({ minimum: 1, maximum: 100 })
    )
    .option(
      '--seed <number>',
      'the same seed gives the same answer (default: drawn, and shown by --stats)',
      wholeBetween(0, 0xffff_ffff)
    )
    .option('--stop <text>', 'ends the answer before this text; may be repeated', collectedText)
    .option(
      '--max-tokens <count>',
      `ends the answer after so many tokens (default: ${DEFAULT_MAX_TOKENS})`,
      wholeBetween(1, 2 ** 22)
    )
    .option('--system <text>', 'instructions that stand before the conversation')
    .addOption(
      new Option('--dtype <type>', 'numbers between nodes (default: f16, and f32 where that does not do)').choices([
        'f32',
        'f16'
      ])
    )
    .option(
      '--wait <seconds>',
      'how long to wait for somebody where nobody serves some of the layers, also in the middle of an answer (default: not)',
      wholeBetween(1, MAX_WAIT_SECONDS)
    )
    .addOption(
      new Option(
        '--replay <kind>',
        'how nodes that take the place of others are filled: in large steps, or in the same ones, which gives the same tokens (default: fast)'
      ).choices(['fast', 'exact'])
    )
    .option('--stats', 'more about where the time went than the table that follows an answer')
}

/** How the answer is carried. */
export function routeOptionsOf({
  dtype,
  replay,
  wait
}: AnswerOptions): Pick<GenerateRequest, 'dtype' | 'replay' | 'wait'> {
  return {
    ...(dtype && { dtype }),
    ...(replay && { replay }),
    ...(wait !== undefined && { wait })
  }
}

export function samplingOf(options: AnswerOptions): SamplingRequest {
  const { temperature, topK, topP, minP, repeatPenalty, seed, stop, maxTokens } = options
  return {
    ...(temperature !== undefined && { temperature }),
    ...(topK !== undefined && { topK }),
    ...(topP !== undefined && { topP }),
    ...(minP !== undefined && { minP }),
    ...(repeatPenalty !== undefined && { repeatPenalty }),
    ...(seed !== undefined && { seed }),
    ...(stop !== undefined && { stop }),
    ...(maxTokens !== undefined && { maxTokens })
  }
}
